"""``integrate``: from now on, what lives in the store crosses a library by reference."""

from __future__ import annotations

import importlib
import multiprocessing
import threading
from collections.abc import Iterable
from importlib.util import find_spec
from types import ModuleType

from ..errors import InvalidArgumentError
from .by_reference import integrated

LIBRARIES = {
    "multiprocessing": ("via_multiprocessing", ("multiprocessing",)),
    "joblib": ("via_joblib", ("joblib", "loky")),
    "dask": ("via_dask", ("distributed",)),
}
"""What can be integrated: the module here that does it, and what has to be installed, one of them."""

_lock = threading.RLock()


class Integration:
    """What one call of ``integrate`` has begun; ``close()`` ends it, and so does the end of a ``with`` block.

    Args:
        names: Of the libraries.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = [*names]

    def __repr__(self) -> str:
        return f"<Integration of {', '.join(self._names) or 'nothing that was not integrated before'}>"

    def __enter__(self) -> Integration:  # noqa: PYI034 - Self is not in Python 3.10
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    def close(self) -> None:
        """From now on, bytes travel again.  What is on its way by reference arrives.  Safe to call again."""
        with _lock:
            for name in self._names:
                _module(name).end()
                integrated.remove(name)
            self._names.clear()


def integrate(*libraries: str) -> Integration:
    """From now on, arrays and tables that live in the store cross these libraries by reference.

    No byte of their data is in the message; the other process maps the same memory, and holds it as long as it looks at
    it.  What does not live in the store, and what goes to another machine or user, travels as it did.  Worker processes
    do the same for what they send back.

    Args:
        libraries: ``"multiprocessing"`` (``concurrent.futures`` with it), ``"joblib"`` (loky with it), ``"dask"``.

    Returns:
        What can be closed, to end what this call has begun.  Nobody has to: a second call does no harm.

    Raises:
        InvalidArgumentError: There is no such library, or it is not installed.  Nothing has begun then.
    """
    if not libraries:
        raise InvalidArgumentError(f"integrate() needs the name of a library: {_choices()}")
    for name in libraries:
        if name not in LIBRARIES:
            raise InvalidArgumentError(f"integrate() knows no library {name!r:.60}; it knows {_choices()}")
        needed = LIBRARIES[name][1]
        if not any(map(find_spec, needed)):
            raise InvalidArgumentError(f"integrate({name!r}) needs {' or '.join(needed)}, which is not installed here")
    return Integration(_begin(libraries))


def follow(libraries: Iterable[str]) -> None:
    """Do as whoever has sent us something by reference, if we are a worker process.

    Args:
        libraries: What is integrated where it came from.
    """
    if multiprocessing.current_process().name != "MainProcess":
        _begin(name for name in libraries if any(map(find_spec, LIBRARIES[name][1])))


def _begin(libraries: Iterable[str]) -> list[str]:
    with _lock:
        new = [name for name in dict.fromkeys(libraries) if name not in integrated]
        for name in new:
            _module(name).begin()
            integrated.append(name)
        return new


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__package__}.{LIBRARIES[name][0]}")


def _choices() -> str:
    return ", ".join(map(repr, LIBRARIES))
