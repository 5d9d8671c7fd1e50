"""Tasks as users see them: ``@remote``, ``init``, ``shutdown``, ``cancel`` and ``as_completed``."""

from __future__ import annotations

import functools
import queue
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import Any

from ..client.arguments import check_key, deadline_of
from ..client.connection import FOREVER
from ..client.promises import Promise, promise_of, promised
from ..client.refs import ObjectRef
from ..errors import GetTimeoutError, InvalidArgumentError
from . import engines
from .actors import RemoteClass
from .functions import Source, name_of
from .task import Task, check_count, gather


class RemoteFunction:
    """A function that runs on workers.

    Args:
        function: The function.
        num_returns: How many values it returns, each with a reference of its own.
        retries: How often it runs again if its worker dies.
    """

    def __init__(self, function: Callable[..., Any], *, num_returns: int = 1, retries: int = 0) -> None:
        if not callable(function):
            raise InvalidArgumentError(
                f"@remote decorates a function, got {type(function).__name__}: {function!r:.100}"
            )
        check_count("num_returns", num_returns, 1)
        check_count("retries", retries, 0)
        self.function: Callable[..., Any] = function
        self.__wrapped_source__ = function
        self.num_returns = num_returns
        self.retries = retries
        self._source = Source(function, self)
        functools.update_wrapper(self, function)

    def __call__(self, *_args: Any, **_kwargs: Any) -> Any:
        """It cannot be called like this: that is most often a slip, and would not be noticed."""
        name = getattr(self.function, "__name__", "f")
        raise TypeError(f"{name} is a remote function: call {name}.remote(...), or {name}.function(...) to run it here")

    def __repr__(self) -> str:
        return f"<remote {getattr(self.function, '__qualname__', self.function)}>"

    def __reduce__(self) -> Any:
        named = name_of(self, self.function)
        if named is not None:
            return named.find, ()
        return _rebuild, (self.function, self.num_returns, self.retries)

    def options(self, *, num_returns: int | None = None, retries: int | None = None) -> RemoteFunction:
        """The same function with other settings."""
        other = RemoteFunction(
            self.function,
            num_returns=self.num_returns if num_returns is None else num_returns,
            retries=self.retries if retries is None else retries,
        )
        other._source = self._source  # what was pickled once serves both
        return other

    def remote(self, *args: Any, **kwargs: Any) -> Any:
        """Have it run on a worker, as soon as the references among its arguments are ready.

        Args:
            *args: References among them arrive as values, those inside of others as references.  What they are now is
                what the function sees.
            **kwargs: The same.

        Returns:
            A reference to what it will return; a list of them if ``num_returns`` is not 1.

        Raises:
            UnpicklableError: An argument, or something that the function uses, cannot be pickled.
        """
        arguments, kept, refs = gather(args, kwargs)
        definition = self._source.definition()
        if definition.kept:
            kept = kept + definition.kept
        task = Task(self.__name__, definition, arguments, kept, refs, self.num_returns, self.retries)
        promises = engines.engine().submit(task)
        return promised(promises[0]) if self.num_returns == 1 else [promised(promise) for promise in promises]

    __name__ = "task"


def _rebuild(function: Callable[..., Any], num_returns: int, retries: int) -> RemoteFunction:
    return RemoteFunction(function, num_returns=num_returns, retries=retries)


def remote(function: Any = None, /, *, num_returns: int = 1, retries: int = 0) -> Any:
    """Decorate a function: its ``.remote(...)`` runs it on a worker and returns a reference at once.

    Of a class, ``.remote(...)`` makes an actor: an object in a process of its own.

    Args:
        function: The function, or class; without one, what decorates it with these settings.
        num_returns: How many values it returns, each with a reference of its own.
        retries: How often it runs again if its worker dies, or was ended to cancel another task.
    """
    if isinstance(function, RemoteFunction):
        function = function.function
    if function is None:
        return functools.partial(remote, num_returns=num_returns, retries=retries)
    if isinstance(function, RemoteClass):
        function = function.cls
    if isinstance(function, type):
        if num_returns != 1 or retries:
            raise InvalidArgumentError(
                f"num_returns and retries are settings of functions, and {function.__name__} is a class; "
                "@shm.method(num_returns=2) is a setting of its methods"
            )
        return RemoteClass(function)
    return RemoteFunction(function, num_returns=num_returns, retries=retries)


def init(workers: int | None = None, engine: object = None) -> None:
    """Start workers, or have another number of them.

    Args:
        workers: How many processes; one for each processor that this process may use if omitted.
        engine: ``None``: processes of this machine.

    Not needed: the first task starts them.  BLAS libraries in each get as many threads as there are processors for it.
    """
    if isinstance(engine, Executor):
        if workers is not None:
            raise InvalidArgumentError("workers cannot be given with engine: an executor knows how many it has")
        engines.use_executor(engine)
        return
    if engine is not None:
        raise InvalidArgumentError(
            "engine is None, for processes of this machine, or a concurrent.futures.Executor of it; a "
            f"{type(engine).__name__} cannot be one in this release"
        )
    engines.start(workers, prepare=True)


def shutdown() -> None:
    """End this process's workers, and nothing of the store.  Tasks that have not ended are cancelled."""
    engines.shutdown()


def cancel(ref: ObjectRef) -> None:
    """Give a task up.  If it runs, its worker is ended; if it has ended, nothing happens.

    A get of it, and of what depends on it, raises ``CancelledError``.
    """
    check_key(ref)
    if not isinstance(ref, ObjectRef):
        raise InvalidArgumentError(f"cancel takes the reference that .remote() has returned, got {ref!r:.100}")
    if ref.promise is not None:
        ref.promise.cancel()


def as_completed(
    refs: Iterable[ObjectRef], *, progress: bool = False, timeout: float | None = None
) -> Iterator[ObjectRef]:
    """Give references in the order in which they are ready, or have failed.

    Args:
        refs: The references, each once.
        progress: Show a progress bar.
        timeout: Seconds for all of them; ``None`` for ever.

    Raises:
        GetTimeoutError: Some were not ready in time.
    """
    refs = list(refs)
    for ref in refs:
        if not isinstance(ref, ObjectRef):
            raise InvalidArgumentError(f"as_completed takes references, got {type(ref).__name__}: {ref!r:.100}")
    deadline = FOREVER if timeout is None else deadline_of(timeout) or FOREVER
    found = _completed(refs, deadline)
    return _shown(found, len(refs)) if progress else found


def _completed(refs: list[ObjectRef], deadline: float) -> Iterator[ObjectRef]:
    from ..client.promises import wait_for

    ready: queue.SimpleQueue[ObjectRef] = queue.SimpleQueue()
    pending: dict[Promise, ObjectRef] = {}
    for ref in refs:
        if ref.promise is None:
            yield ref
        else:
            pending[promise_of(ref)] = ref
    told = lambda promise: ready.put(pending[promise])  # noqa: E731 - forgotten below
    for promise in list(pending):
        promise.on_kept(told)
    try:
        for given in range(len(pending)):
            while ready.empty():
                if not wait_for(list(pending), given + 1, deadline):
                    raise GetTimeoutError(f"{len(pending) - given} of {len(pending)} tasks have not ended in time")
            yield ready.get()
    finally:
        for promise in pending:
            promise.forget(told)


def _shown(found: Iterator[ObjectRef], count: int) -> Iterator[ObjectRef]:
    from tqdm.auto import tqdm

    with tqdm(total=count, unit="task") as bar:
        for ref in found:
            bar.update()
            yield ref
