"""``Executor``: a ``concurrent.futures.Executor`` of processes whose large arguments and results go through the store.

The processes are loky's.  What it is given to carry is small: calls and results travel in shipments (``packing.py``), and
whatever a result turns out to be, also one that cannot be read here, fails its own call only.
"""

from __future__ import annotations

import concurrent.futures
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any, ParamSpec, TypeVar

from .calls import Call, Outcome, perform_chunk, prepare
from .environment import settings_for

P = ParamSpec("P")
T = TypeVar("T")


class Executor(concurrent.futures.Executor):
    """A pool of processes, as ``concurrent.futures.ProcessPoolExecutor``.

    Functions and classes of a notebook work, and lambdas.  Arguments and results of 256 KiB and more, arrays and tables
    inside of them too, go through the store: once into shared memory, and not through a pipe.  Arrays arrive as private
    ones, writable as ever (a page is copied when it is written to); those that live in the store already are not copied at
    all, and arrive read-only.  The memory goes back when the call has ended, and the result is gone.

    Args:
        max_workers: How many processes; as many as there are processors for this one if left out.
        initializer: Called at the start of each process.  If it raises, the pool is broken.
        initargs: Its arguments.

    Raises:
        ValueError: ``max_workers`` is not at least 1.
        TypeError: ``initializer`` cannot be called.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
    ) -> None:
        if initializer is not None and not callable(initializer):
            raise TypeError(f"initializer must be callable, got {initializer!r:.100}")
        if max_workers is not None and max_workers <= 0:
            raise ValueError(f"max_workers must be greater than 0, got {max_workers}")
        import loky

        self._max_workers: int = max_workers or loky.cpu_count()
        self._lock = threading.Lock()
        self._is_shut_down = False
        self._futures: weakref.WeakSet[Future[Any]] = weakref.WeakSet()
        self._pool = loky.ProcessPoolExecutor(
            self._max_workers,
            initializer=prepare,
            initargs=(initializer, initargs),
            env=settings_for(max(1, loky.cpu_count() // self._max_workers)),
        )

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a call made in one of the processes.

        Args:
            fn: What to call.
            args: With what.  It is pickled when a process is about to take the call: what changes before is seen.
            kwargs: The same.

        Returns:
            The future of its result.  An error has its original type, and the worker's traceback as its cause.

        Raises:
            RuntimeError: The executor was shut down.
            BrokenProcessPool: A process has died.
        """
        with self._lock:
            if self._is_shut_down:
                raise RuntimeError("cannot schedule new futures after shutdown")
            call = Call((fn, args, kwargs))
            inner = self._pool.submit(call)
            future: Future[T] = Future(inner)
            self._futures.add(future)
        inner.add_done_callback(partial(_settle, future, call))
        return future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """Call a function with each item, as ``map``; the calls are made by all processes, the results come in order.

        Args:
            fn: What to call.
            iterables: Of its arguments.
            timeout: Seconds from now on until the last result.
            chunksize: So many items go to a process at a time.
            buffersize: So many chunks are handed out ahead of the results; all, if left out.

        Returns:
            The results.  Who stops before the last one cancels those that have not begun.

        Raises:
            ValueError, TypeError: ``chunksize`` or ``buffersize`` is not at least 1.
            TimeoutError: Out of the iterator, when a result is not there in time.
        """
        if chunksize < 1:
            raise ValueError(f"chunksize must be at least 1, got {chunksize}")
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError(f"buffersize must be an integer or None, got {buffersize!r:.100}")
        if buffersize is not None and buffersize < 1:
            raise ValueError(f"buffersize must be at least 1, got {buffersize}")
        end = None if timeout is None else time.monotonic() + timeout
        chunks = _chunks(zip(*iterables, strict=False), chunksize)
        futures = deque(self.submit(perform_chunk, fn, chunk) for chunk in islice(chunks, buffersize))
        return _results(weakref.ref(self), fn, chunks if buffersize else None, futures, end)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no calls any more; the processes end when those that were submitted are done.

        Args:
            wait: Until then.
            cancel_futures: Cancel what has not begun.
        """
        with self._lock:
            self._is_shut_down = True
            futures = list(self._futures)
        if cancel_futures:
            for future in futures:
                future.cancel()
        self._pool.shutdown(wait=wait)


class Future(concurrent.futures.Future[T]):
    """The future of a call: as loky's, which tells when it has begun, with the result unpacked.

    Args:
        inner: loky's.
    """

    def __init__(self, inner: concurrent.futures.Future[Outcome]) -> None:
        super().__init__()
        self._inner: concurrent.futures.Future[Outcome] | None = inner

    def running(self) -> bool:
        """Has it begun, and not ended?  A call counts as begun when it is queued for the next process that is free."""
        inner = self._inner
        return inner is not None and inner.running()

    def cancel(self) -> bool:
        """Cancel the call, unless it has begun."""
        inner = self._inner
        if inner is not None:
            inner.cancel()  # tells us, if it is so
        return self.cancelled()

    def let_go(self) -> None:
        """It is over: loky's future has the result, too, and knows what the call was about."""
        self._inner = None


def _settle(future: Future[Any], call: Call, inner: concurrent.futures.Future[Outcome]) -> None:
    """The end of a call; in the pool's thread, or where it was cancelled."""
    # The arguments are nobody's any more: not of who keeps the future.
    call.task = call.kept = None
    future.let_go()
    if inner.cancelled():
        concurrent.futures.Future.cancel(future)
        future.set_running_or_notify_cancel()
        return
    try:
        error, value = call.error or inner.exception(), None
        if error is None:
            error, value = inner.result().open()
    except BaseException as broken:
        error = broken
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)


def _chunks(items: Iterator[tuple[Any, ...]], size: int) -> Iterator[tuple[tuple[Any, ...], ...]]:
    while chunk := tuple(islice(items, size)):
        yield chunk


def _results(
    executor: weakref.ref[Executor],
    fn: Callable[..., Any],
    rest: Iterator[tuple[tuple[Any, ...], ...]] | None,
    futures: deque[Future[list[Any]]],
    end: float | None,
) -> Iterator[Any]:
    """Yield results in order, and hand out one chunk more for each that is done; holds none that was yielded."""
    try:
        while futures:
            pool = executor() if rest is not None else None
            if pool is not None and rest is not None:
                for chunk in islice(rest, 1):
                    futures.append(pool.submit(perform_chunk, fn, chunk))
            del pool
            results = _result(futures, end)
            results.reverse()
            while results:
                yield results.pop()
    finally:
        for future in futures:
            future.cancel()


def _result(futures: deque[Future[list[Any]]], end: float | None) -> list[Any]:
    try:
        return futures[0].result(None if end is None else end - time.monotonic())
    finally:
        # Also when it has failed or is late: then it is cancelled, which an ended one does not mind.
        futures.popleft().cancel()
