"""One call in a worker process: how it gets there, is made, and what comes back.

Nothing that a call does, raises or returns ends its worker, but for what ends the process.
"""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable
from concurrent.futures.process import _RemoteTraceback
from typing import Any

from ..errors import UnpicklableError
from .packing import Parcel, open_up, pack_up

Task = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
"""Function, arguments, keyword arguments."""


class Call:
    """A call that is to be made elsewhere.  It is packed when it is pickled, and not before.

    A thousand calls that wait would otherwise have a thousand copies of their arguments in the store.

    Args:
        task: What to do.

    Attributes:
        task: What to do; to be cleared when it has ended.
        kept: Keeps its arguments in the store; the same.
        error: Why it could not be pickled.
    """

    def __init__(self, task: Task) -> None:
        self.task: Task | None = task
        self.kept: object = None
        self.error: BaseException | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        try:
            parcel = pack_up(self.task)
        except UnpicklableError as error:
            self.error = _original(error)
            raise
        except BaseException as error:
            self.error = error
            raise
        self.kept = parcel.kept
        return Arrived, (parcel,)


class Arrived:
    """A call that has arrived.

    Args:
        parcel: The task.
    """

    def __init__(self, parcel: Parcel) -> None:
        self.parcel = parcel


class Outcome:
    """What came of a call.

    Args:
        is_value: It returned; otherwise it raised.
        parcel: What.
        trace: Where it was raised.
    """

    def __init__(self, is_value: bool, parcel: Parcel, trace: str = "") -> None:
        self._is_value = is_value
        self._parcel = parcel
        self._trace = trace

    def open(self) -> tuple[BaseException | None, Any]:
        """Unpack it: an error, or ``None`` and the value.

        Raises:
            BaseException: It cannot be unpacked here; whatever pickle raises, with the worker's traceback if there is one.
        """
        try:
            content = open_up(self._parcel)
        except BaseException as error:
            if self._trace:
                error.__cause__ = _cause(self._trace)
            raise
        if self._is_value:
            return None, content
        content.__cause__ = _cause(self._trace)
        return content, None


def prepare(initializer: Callable[..., object] | None, initargs: tuple[Any, ...]) -> None:
    """Begin as a worker.  An interrupt is for the call that runs: without one, nobody is to be interrupted."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if initializer is not None:
        initializer(*initargs)


def perform(arrived: Arrived) -> Outcome:
    """Make a call."""
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            function, args, kwargs = open_up(arrived.parcel)
            return Outcome(True, pack_up(function(*args, **kwargs), hand_over=True))
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except BaseException as error:
        return _failed(error)


def perform_chunk(function: Callable[..., Any], chunk: tuple[tuple[Any, ...], ...]) -> list[Any]:
    """Make several calls; the first that raises ends it."""
    return [function(*args) for args in chunk]


def _failed(error: BaseException) -> Outcome:
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    error.__traceback__ = None  # its frames hold what the call was about
    if isinstance(error, UnpicklableError) and isinstance(error.__cause__, Exception):
        error = _original(error)
    try:
        return Outcome(False, pack_up(error, hand_over=True), trace)
    except BaseException as reason:
        text = (
            f"a call raised {type(error).__qualname__}, which cannot be sent back ({reason}); it said: {error!s:.1000}"
        )
        return Outcome(False, pack_up(RuntimeError(text), hand_over=True), trace)


def _original(error: UnpicklableError) -> BaseException:
    """What pickle has raised; where that was follows from its cause."""
    original = error.__cause__
    if not isinstance(original, Exception):
        return error
    original.__cause__ = UnpicklableError(error.text)
    return original


def _cause(trace: str) -> Exception:
    """What ``concurrent.futures`` has as the cause of an error of a worker, as it is printed."""
    make: Any = _RemoteTraceback  # its stub says that it takes a traceback
    return make(f'\n"""\n{trace}"""')  # type: ignore[no-any-return]
