"""What every peer can do.  One instance lives in each host process; the measured work knows nothing else of it.

Imports nothing but numpy: this runs in the environment of every peer.
"""

from __future__ import annotations

import itertools
import os
from abc import ABC, abstractmethod
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray

numbers = itertools.count()


class Peer(ABC):
    """One way to share an array between processes.

    A *handle* is what ``put`` returns and what keeps the object alive in its publisher's process.  A *key* is text by
    which another process finds the object.  ``open`` makes of a key what ``get`` takes.  What is timed is ``put``,
    ``put_anonymous``, ``open`` and ``get``; everything else is called between the measurements.
    """

    packages: tuple[str, ...] = ()
    """Distributions whose versions belong into the results."""

    replaces = False
    """Can a name be given to a new array while others read the old one?  Elsewhere the old one is deleted first."""

    most = 1 << 30
    """Handles that one process can keep."""

    folder: Path
    """Of this session, for whatever needs files; removed with everything in it afterwards."""

    def versions(self) -> dict[str, str]:
        """Version by distribution, numpy's included."""
        return {name: version(name) for name in (*self.packages, "numpy")}

    def start(self, capacity: int) -> str:  # noqa: ARG002 - most need none
        """Start whatever has to run, and connect to it.

        Args:
            capacity: Bytes that it will hold at most.

        Returns:
            What ``join`` takes.
        """
        return ""

    def join(self, address: str) -> None:  # noqa: B027 - most have nothing to connect to
        """Connect another process to what was started."""

    def settle(self) -> None:  # noqa: B027
        """Wait until it has done what it does in the background after its start."""

    def stop(self) -> None:  # noqa: B027
        """End what was started."""

    @abstractmethod
    def put(self, array: Array, name: str) -> Any:
        """Publish under a name that was not used before, or by whatever other processes can find it."""

    def put_anonymous(self, array: Array, name: str) -> Any:
        """Publish without a name, where that is something else."""
        return self.put(array, name)

    def key(self, handle: Any) -> str:
        """The text by which other processes find it."""
        return str(handle)

    def open(self, key: str) -> Any:
        """What ``get`` takes."""
        return key

    @abstractmethod
    def get(self, opened: Any) -> Array:
        """Fetch it, in this process."""

    def tidy(self) -> None:  # noqa: B027
        """Let go of what fetched arrays left open that are not alive any more."""

    @abstractmethod
    def delete(self, handle: Any) -> None:
        """Give its memory back."""

    def park(self, handle: Any) -> None:  # noqa: B027
        """Let go of what its publisher need not keep open: a hundred thousand of them are about to be published."""

    def count(self, handles: list[Any]) -> int:
        """Number of objects that are stored; asked of whoever stores them, after all that was sent before."""
        return len(handles)


def prefix() -> str:
    """How the names of one host's objects begin: with the session, by which leftovers are found and removed."""
    return f"{os.environ.get('BENCH_MARK', 'bench')}-{os.getpid()}"


def fresh() -> str:
    """A name that was not used before."""
    return f"{prefix()}-{next(numbers)}"
