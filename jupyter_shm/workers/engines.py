"""Which engine runs this process's tasks: none as yet, workers of its own, or, in a worker, those of its submitter."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Executor
from typing import Any, Protocol

from ..client.arguments import is_count
from ..client.promises import Promise
from ..errors import InvalidArgumentError, UnsupportedPlatformError
from .task import Task


class Engine(Protocol):
    """Runs tasks.

    Attributes:
        width: How many at a time; 0: that is another process's to say.
        is_over: It was shut down.
    """

    width: int

    @property
    def is_over(self) -> bool:
        """Was it shut down?"""

    def submit(self, task: Task) -> list[Promise]:
        """Have a task run; from any thread."""


_engine: Engine | None = None
_starting = threading.RLock()


def use(engine: Engine) -> None:
    """From now on, this one."""
    global _engine  # noqa: PLW0603 - there is one for each process
    _engine = engine


def engine() -> Engine:
    """The one in use; started at the first call."""
    found = _engine
    if found is None or found.is_over:
        return start(None, prepare=False)
    return found


def current() -> Engine | None:
    """The one in use, if there is one."""
    return _engine


def start(workers: int | None, *, prepare: bool) -> Engine:
    """Use workers of this process.

    Args:
        workers: How many; ``None``: as many as this process has processors.
        prepare: Start them now, not at the first task.
    """
    global _engine  # noqa: PLW0603
    from loky import cpu_count

    if workers is not None and (not is_count(workers) or isinstance(workers, bool) or workers < 1):
        raise InvalidArgumentError(f"workers is a number from 1, or None for one per processor; got {workers!r:.100}")
    from .futures import FuturesEngine
    from .local import LocalEngine

    if not hasattr(os, "eventfd"):
        raise UnsupportedPlatformError("workers need Python's os.eventfd, which this interpreter was built without")
    cores = cpu_count()
    width = workers or cores
    with _starting:
        if isinstance(_engine, FuturesEngine):
            _engine = None
        found = _engine
        if found is not None and not isinstance(found, LocalEngine):
            raise InvalidArgumentError("this process is a worker itself: its tasks run on the workers of its submitter")
        if found is None or found.is_over:
            found = _engine = LocalEngine(width, max(1, cores // width), shutdown)
        else:
            found.resize(width, max(1, cores // width))
        if prepare:
            found.prepare()
        return found


def widen(workers: int) -> None:
    """Have so many workers, if there are fewer; an executor of somebody else stays as it is.

    Args:
        workers: How many.
    """
    from loky import cpu_count

    found = current()
    if found is None or found.is_over:
        start(max(workers, cpu_count()), prepare=False)
    elif 0 < found.width < workers:
        start(workers, prepare=False)


def use_executor(executor: Executor) -> None:
    """From now on, somebody else's; workers of our own end.

    Args:
        executor: It stays its maker's.
    """
    from .futures import FuturesEngine

    with _starting:
        shutdown()
        use(FuturesEngine(executor))


def shutdown() -> None:
    """End the workers of this process, if it has any; an executor is only let go of."""
    from .futures import FuturesEngine
    from .local import LocalEngine

    global _engine  # noqa: PLW0603
    with _starting:
        if isinstance(_engine, FuturesEngine):
            _engine = None
        if isinstance(_engine, LocalEngine) and not _engine.is_over:
            _engine.shutdown()


_abandoned: list[Any] = []


def _after_fork() -> None:
    global _engine, _starting  # noqa: PLW0603
    _starting = threading.RLock()
    found = _engine
    if found is not None and hasattr(found, "abandon"):
        _engine = None
        _abandoned.append(found)  # what it has is our parent's, and its end would reach there
        found.abandon()


os.register_at_fork(after_in_child=_after_fork)
