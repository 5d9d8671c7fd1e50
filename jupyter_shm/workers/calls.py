"""One call in a worker process: how it gets there, is made, and what comes back.

Nothing that a call does, raises or returns ends its worker, but for what ends the process.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable
from functools import partial
from types import BuiltinFunctionType, FunctionType
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

from ..errors import RemoteTraceback, UnpicklableError
from .packing import LARGE, PROTOCOL, Content, Place, Shipment, is_plain, open_up, pack_up

_NAMED = (FunctionType, BuiltinFunctionType, type)

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

    def __call__(self) -> Outcome:
        """Only what has arrived is called."""
        raise AssertionError("a call is made where it was sent to")

    def __reduce__(self) -> tuple[Any, ...]:
        assert self.task is not None
        try:
            shipment = _short(self.task) or pack_up(self.task)
        except UnpicklableError as error:
            self.error = _original(error)
            raise
        except BaseException as error:
            self.error = error
            raise
        self.kept = shipment.kept
        return arrived, (shipment.content, shipment.place)


def arrived(content: Content | None, place: Place | None) -> Callable[[], Outcome]:
    """What a pickled call comes out as: what makes it."""
    return partial(perform, Shipment(content, place))


def outcome(is_value: bool, content: Content | None, place: Place | None, trace: str) -> Outcome:
    """What a pickled outcome is made by."""
    return Outcome(is_value, Shipment(content, place), trace)


class Outcome:
    """What came of a call.

    Args:
        is_value: It returned; otherwise it raised.
        shipment: What.
        trace: Where it was raised.
    """

    def __init__(self, is_value: bool, shipment: Shipment, trace: str = "") -> None:
        self._is_value = is_value
        self._shipment = shipment
        self._trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return outcome, (self._is_value, self._shipment.content, self._shipment.place, self._trace)

    def open(self) -> tuple[BaseException | None, Any]:
        """Unpack it: an error, or ``None`` and the value.

        Raises:
            BaseException: It cannot be unpacked here; whatever pickle raises, with the worker's traceback if there is one.
        """
        try:
            content = open_up(self._shipment)
        except BaseException as error:
            if self._trace:
                error.__cause__ = RemoteTraceback(self._trace)
            raise
        if self._is_value:
            return None, content
        content.__cause__ = RemoteTraceback(self._trace)
        return content, None


def prepare(initializer: Callable[..., object] | None, initargs: tuple[Any, ...]) -> None:
    """Begin as a worker.  An interrupt is for the call that runs: without one, nobody is to be interrupted."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if "LOKY_MAX_MEMORY_LEAK_SIZE" not in os.environ:
        # loky replaces a process that grows by 300 MB, and looking at a stored array counts.
        vars(sys.modules["loky.process_executor"])["_MAX_MEMORY_LEAK_SIZE"] = 1 << 60
    if initializer is not None:
        initializer(*initargs)


def perform(shipment: Shipment) -> Outcome:
    """Make the call that is in a shipment."""
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            function, args, kwargs = open_up(shipment)
            return Outcome(True, pack_up(function(*args, **kwargs), hand_over=True))
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except BaseException as error:
        return _failed(error)


def perform_chunk(function: Callable[..., Any], chunk: tuple[tuple[Any, ...], ...]) -> list[Any]:
    """Make several calls; the first that raises ends it."""
    return [function(*args) for args in chunk]


def _short(task: Task) -> Shipment | None:
    """A call with a few numbers of a function that has a name; ``None``: it takes more to pickle it."""
    function, args, kwargs = task
    if kwargs or type(function) not in _NAMED or not all(map(is_plain, args)):
        return None
    try:
        stream = pickle.dumps((task,), PROTOCOL)
    except Exception:  # it has none, or it is another's
        return None
    # What a notebook has defined is pickled by its code, and so is what cloudpickle was told to pickle so.
    if b"__main__" in stream or len(stream) >= LARGE or cloudpickle.list_registry_pickle_by_value():
        return None
    return Shipment((stream, []), None)


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
