"""The engine of this machine: one thread that owns the graph and the workers; all others only leave messages for it.

So nothing here needs a lock, and an interrupt, which comes to the main thread alone, finds nothing half done.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any

from ..client.promises import Promise
from ..errors import ShmError
from . import trouble
from .errands import Errands
from .graph import CANCELLED, DIED, Action, Fail, Graph, Kill, Recall, Retire, Start, Submit
from .lane import Lane
from .messages import Answer, Call, Clear, Got, Hello, Output, Run
from .output import Origin
from .task import Task, value_of
from .trouble import TaskFailure
from .troupe import Troupe
from .worker import HUNG_UP, Worker

STILLBORN = 3
"""Workers in a row that end before they do anything: then their tasks fail."""

KNOWN = 64
"""Functions that a worker remembers."""

ERROR_OF_OURS = "the engine of the tasks goes on after an error of its own"

_log = logging.getLogger("jupyter_shm")


class LocalEngine:
    """Workers of this process, on this machine.

    Args:
        width: How many.
        threads: Of BLAS libraries, for each.
        at_exit: Ends this engine, when the interpreter ends.
    """

    def __init__(self, width: int, threads: int, at_exit: Callable[[], None]) -> None:
        self.width = width
        self.home = os.getpid()
        self._threads = threads
        self._at_exit = at_exit
        self._graph = Graph(width)
        self._tasks: dict[int, Task] = {}
        self._numbers: dict[Promise, int] = {}  # of what has not ended: our tasks, and what is promised elsewhere
        self._failures: dict[int, TaskFailure] = {}  # of what has failed just now
        self._workers: dict[int, Worker] = {}
        self._by_fd: dict[int, Worker] = {}
        self._retired: set[Lane] = set()
        self._why: Callable[[str], TaskFailure] = trouble.died  # why tasks fail that had begun
        self._hung: dict[int, float] = {}  # by lane: when to kill it
        self._stillborn = 0
        self._agenda: deque[Action | Callable[[], list[Action]]] = deque()  # an event that came of an action comes last
        self._is_doing = False
        self._next = 1
        self._errands = Errands(self)
        self.troupe = Troupe(self)
        self._inbox: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._is_awake = False
        self._is_over = False
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.epoll()
        self._poll.register(self._bell, select.EPOLLIN)
        self._thread = threading.Thread(target=self._run, name="jupyter-shm-tasks", daemon=True)
        self._thread.start()

    # --- for all threads --------------------------------------------------------------------------------------------

    def submit(self, task: Task) -> list[Promise]:
        """Have a task run."""
        task.origin = Origin()
        promises = task.promise(self.cancel)
        self.leave(self.add, task)
        return promises

    def cancel(self, promise: Promise) -> None:
        """Give a task up."""
        self.leave(self._cancel, promise)

    def dismiss(self, actor: int, *, now: bool) -> None:
        """An actor is wanted no more; ``now``: whatever it does."""
        if not self._is_over:
            self.leave(self.troupe.dismiss, actor, now)

    def resize(self, width: int, threads: int) -> None:
        """From now on use so many workers; those that are at work end with their task."""
        self.width = width
        self.leave(self._resize, width, threads)

    def prepare(self) -> None:
        """Start all workers now."""
        self.leave(lambda: self._do(self._graph.start()))

    def shutdown(self) -> None:
        """End all workers, and wait for that; what has not ended is cancelled."""
        self.leave(self._stop)
        self._thread.join()

    @property
    def is_over(self) -> bool:
        """Was it shut down?"""
        return self._is_over

    def abandon(self) -> None:
        """We are a forked child: the thread is not here, and the workers are our parent's."""
        self._is_over = True
        for worker in self._workers.values():
            worker.lane.release()
        self._poll.close()
        os.close(self._bell)
        failure = trouble.cancelled("a task of the process that this one was forked from", "cannot be waited for here")
        self.troupe.stop("the process that made it is the one that this one was forked from")
        for task in [*self._tasks.values(), *(args[0] for what, args in self._inbox if what == self.add)]:
            task.fail(failure)

    def leave(self, what: Callable[..., None], *args: Any) -> None:
        """Have something done by the engine's thread."""
        self._inbox.append((what, args))
        if not self._is_awake:
            try:
                self._is_awake = True
                self._ring()
            except BaseException:  # an interrupt: who thinks that it was rung would wait for ever
                self._ring()
                raise

    def _ring(self) -> None:
        with contextlib.suppress(OSError):  # it is over
            os.eventfd_write(self._bell, 1)

    # --- the engine's thread ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._is_over:
                wait = min(self._hung.values(), default=0.0) - monotonic() if self._hung else None
                for fd, events in self._poll.poll(None if wait is None else max(0.0, wait)):
                    try:
                        self._serve(fd, events)
                    except Exception:
                        _log.exception(ERROR_OF_OURS)
                if self._hung:
                    self._kill_hung()
        finally:
            self._is_over = True
            bell, self._bell = self._bell, -1
            self._poll.close()
            os.close(bell)

    def _serve(self, fd: int, events: int) -> None:
        if fd == self._bell:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(fd)
            self._is_awake = False  # first: who leaves something from now on rings again
            while self._inbox:
                what, args = self._inbox.popleft()
                try:
                    what(*args)
                except Exception:
                    _log.exception(ERROR_OF_OURS)
            return
        worker = self._by_fd.get(fd)
        if worker is None:
            return
        if events & select.EPOLLOUT:
            worker.lane.flush()
            self._watch(worker)
        if events & ~select.EPOLLOUT:
            self._receive(worker)

    def _watch(self, worker: Worker) -> None:
        with contextlib.suppress(OSError):
            self._poll.modify(worker.lane, select.EPOLLIN | (select.EPOLLOUT if worker.lane.has_unsent else 0))

    def send(self, worker: Worker, message: Run | Got | Any) -> None:
        """Tell a worker; never waits."""
        worker.lane.send(message)
        if worker.lane.has_unsent:
            self._watch(worker)

    def _receive(self, worker: Worker) -> bool:
        """Do what a worker has told; ``False``: there is nothing more."""
        found = worker.lane.receive()
        if found is None:
            if self._by_fd.pop(worker.lane.fileno(), None) is not None:
                self._poll.unregister(worker.lane)
                # How it ended is known when loky has noticed, too.
                self._hung[worker.number] = monotonic() + HUNG_UP
            return False
        for message in found:
            if isinstance(message, Answer):
                self._answered(worker, message)
            elif isinstance(message, Output):
                origin = worker.origins.get(message.number)
                if origin is not None:
                    origin.write(message.is_error, message.text)
            elif isinstance(message, Hello):
                worker.lane.drop_names()
            else:
                self._errands.heed(worker, message)
        return bool(found)

    def _kill_hung(self) -> None:
        now = monotonic()
        for number in [number for number, due in self._hung.items() if due <= now]:
            del self._hung[number]
            if number in self._workers:
                self._workers[number].lane.kill()

    # --- tasks ------------------------------------------------------------------------------------------------------

    def add(self, task: Task) -> None:
        """A task was submitted."""
        if task.actor:
            self.troupe.add(task)
            return
        needs: set[int] = set()
        for _, ref in task.refs:
            promise = ref.promise
            if promise is not None and not promise.is_kept:
                needs.add(self._number_of(promise))
            elif promise is not None and promise.failure is not None:
                task.fail(promise.failure)  # type: ignore[arg-type]
                return
        needs.update(map(self._end_of, task.pending_inside))
        task.number = number = self._number()
        self._tasks[number] = task
        for promise in task.promises:
            self._numbers[promise] = number
        self._do(self._graph.add(number, needs, task.retries))

    def _number(self) -> int:
        self._next += 1
        return self._next

    def _number_of(self, promise: Promise) -> int:
        """Its task's; or one for what is promised elsewhere."""
        number = self._numbers.get(promise)
        if number is None:
            number = self._numbers[promise] = self._number()
            promise.on_kept(lambda kept: self.leave(self._kept_elsewhere, kept))
        return number

    def _end_of(self, promise: Promise) -> int:
        """A number that is settled when a promise is kept, also with a failure."""
        number = self._number()
        promise.on_kept(lambda _: self.leave(lambda: self._do(self._graph.settled(number))))
        return number

    def _kept_elsewhere(self, promise: Promise) -> None:
        number = self._numbers.pop(promise)
        if promise.failure is None:
            self._do(self._graph.settled(number))
        else:
            self._failures[number] = promise.failure  # type: ignore[assignment]
            self._do(self._graph.failed(number))

    def _cancel(self, promise: Promise) -> None:
        number = self._numbers.get(promise)
        if number in self._tasks:
            self._do(self._graph.cancel(number))
        else:
            self.troupe.cancel(promise)

    def _answered(self, worker: Worker, answer: Answer) -> None:
        task = worker.tasks.pop(answer.number, None)
        if task is None:
            return  # it was taken back, or the worker says nonsense
        self._stillborn = 0
        failure = TaskFailure(answer.failure) if answer.failure is not None else None
        if failure is None:
            try:
                task.keep(answer.parcels)
            except Exception as error:  # the store is gone, and with it the result
                failure = TaskFailure(trouble.trouble_of(error))
        if failure is not None:
            task.fail(failure)
        if answer.is_kept:
            self.send(worker, Got(answer.number))
        for number in [number for number in worker.origins if number < answer.number]:
            if number not in worker.tasks:
                del worker.origins[number]
        if task.actor:
            self.troupe.ended(worker, task, failure)
            return
        if failure is not None:
            self._failures[task.number] = failure
        self._forget(task)
        self._do(self._graph.ended(worker.number, task.number, well=failure is None))

    def _forget(self, task: Task) -> None:
        del self._tasks[task.number]
        for promise in task.promises:
            self._numbers.pop(promise, None)

    def awaited(self, worker: Worker, promises: list[Promise], *, is_over: bool) -> None:
        """The task of a worker waits for some of its own, or does so no more."""
        if worker.number not in self._graph.lanes:
            return  # it is an actor's: what it waits for is done by others
        if is_over:
            self._do(self._graph.resumes(worker.number))
        else:
            numbers = [self._number_of(promise) for promise in promises if not promise.is_kept]
            self._do(self._graph.waits(worker.number, numbers))

    # --- what the graph wants ---------------------------------------------------------------------------------------

    def _do(self, actions: list[Action]) -> None:
        self._agenda += actions
        if self._is_doing:
            return
        self._is_doing = True
        while self._agenda:
            try:
                self._do_one(self._agenda.popleft())
            except Exception:
                _log.exception(ERROR_OF_OURS)
        self._is_doing = False
        self._failures.clear()

    def _do_one(self, action: Action | Callable[[], list[Action]]) -> None:
        if isinstance(action, Submit):
            self._submit(action.lane, self._tasks[action.task])
        elif isinstance(action, Fail):
            self._fail(action.task, action.cause)
        elif isinstance(action, Recall):
            self._recall(self._workers.get(action.lane), action.lane)
        elif isinstance(action, Start):
            self._start(action.lane)
        elif isinstance(action, Kill):
            if action.lane in self._workers:
                self._workers[action.lane].lane.kill()
        elif isinstance(action, Retire):
            if action.lane in self._workers:
                self.retire(action.lane)
        else:
            self._agenda += action()

    def _submit(self, lane: int, task: Task) -> None:
        worker = self._workers.get(lane)
        if worker is None:
            return  # it could not be started, and its end is on its way
        try:
            self.give(worker, task)
        except Exception as error:
            self._failures[task.number] = failure = TaskFailure(trouble.trouble_of(error))
            task.fail(failure)
            self._forget(task)
            self._agenda.append(partial(self._graph.ended, lane, task.number, well=False))

    def give(self, worker: Worker, task: Task) -> None:
        """Have a worker run a task; an exception says why it cannot be sent there."""
        values = [(where, value_of(ref)) for where, ref in task.refs]
        worker.last += 1
        number, definition = worker.last, task.definition
        code = None
        if definition.digest not in worker.known:
            if len(worker.known) >= KNOWN:
                worker.known.clear()
                self.send(worker, Clear())
            worker.known.add(definition.digest)
            code = definition.code
        call = Call(task.name, definition.digest, code, task.arguments, values, task.returns, task.actor, task.method)
        worker.tasks[number] = task
        if task.origin is not None:
            worker.origins[number] = task.origin
        self.send(worker, Run(number, call))

    def _fail(self, number: int, cause: int | str) -> None:
        task = self._tasks[number]
        if cause == CANCELLED:
            failure = trouble.cancelled(task.name)
        elif cause == DIED:
            failure = self._why(task.name)
        else:
            failure = self._failures[cause]  # type: ignore[index]
        self._failures[number] = failure
        task.fail(failure)
        self._forget(task)

    def _recall(self, worker: Worker | None, lane: int) -> None:
        found: list[int] = []
        if worker is not None:
            begun = worker.lane.board.recall(worker.last)
            numbers = [number for number in worker.tasks if number > begun]
            found = [worker.tasks.pop(number).number for number in numbers]
        self._agenda.append(partial(self._graph.recalled, lane, found))

    def _start(self, number: int) -> None:
        try:
            self.open(number, self._ended)
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            self.leave(self._not_started, number, why)

    def open(self, number: int, on_end: Callable[[int, Lane], None]) -> Worker:
        """Start a worker.

        Args:
            number: Its own.
            on_end: Called in this thread when its process is gone; it has to call ``bury``.
        """
        lane = Lane(self._threads, lambda lane: self.leave(on_end, number, lane))
        # Each executor has loky wait at exit for its tasks, which may take for ever.  What is registered last is
        # called first; so this is said again each time, too.
        threading._register_atexit(self._at_exit)  # type: ignore[attr-defined]  # noqa: SLF001
        worker = self._workers[number] = self._by_fd[lane.fileno()] = Worker(number, lane)
        self._poll.register(worker.lane, select.EPOLLIN)
        return worker

    def _not_started(self, number: int, why: str) -> None:
        """A worker was never there; nor will the next one be, so its tasks fail."""
        self._why = lambda name: trouble.failure(ShmError(f"no worker could be started to run {name}: {why}"))
        self._do(self._graph.died(number, self._graph.queue_of(number)))

    def _ended(self, number: int, lane: Lane) -> None:
        """The process of a worker is gone."""
        worker = self._workers.get(number)
        begun: list[int] = []
        found = self.bury(number, lane)
        if worker is not None and found is not None:
            last, how = found
            begun = self._begun(worker, last)
            self._why = partial(trouble.died, how=how, is_stillborn=not last)
        self._do(self._graph.died(number, begun))

    def bury(self, number: int, lane: Lane) -> tuple[int, str] | None:
        """The process of a worker is gone: take in what it had told, and let go of it.

        Returns:
            The last task that it had begun, and how it ended, for people; ``None``: it was to end.
        """
        if lane in self._retired:
            self._retired.discard(lane)
            lane.close()
        worker = self._workers.get(number)
        if worker is None:
            return None
        while self._receive(worker):
            pass  # what it had told before
        self._hung.pop(number, None)
        del self._workers[number]
        if self._by_fd.pop(worker.lane.fileno(), None) is not None:
            self._poll.unregister(worker.lane)
        last, how = worker.lane.board.recall(worker.last), worker.lane.how_it_ended()
        worker.lane.close()
        self._errands.end(worker)
        return last, how

    def _begun(self, worker: Worker, last: int) -> list[int]:
        begun = [task.number for number, task in worker.tasks.items() if number <= last]
        if last == 0:
            self._stillborn += 1
            if self._stillborn >= STILLBORN:
                return [task.number for task in worker.tasks.values()]
        return begun

    def retire(self, number: int) -> None:
        """Have a worker end that has nothing to do."""
        worker = self._workers.pop(number)
        if self._by_fd.pop(worker.lane.fileno(), None) is not None:
            self._poll.unregister(worker.lane)
        self._errands.end(worker)
        self._retired.add(worker.lane)
        worker.lane.leave()

    def _resize(self, width: int, threads: int) -> None:
        self._threads = threads
        self._do(self._graph.resize(width))

    def _stop(self) -> None:
        for task in list(self._tasks.values()):
            task.fail(trouble.cancelled(task.name, "was cancelled: the workers were shut down"))
        self.troupe.stop("it ended with shm.shutdown() or the interpreter")
        for worker in self._workers.values():
            worker.lane.hang_up(is_busy=bool(worker.tasks))
        for lane in [*self._retired, *(worker.lane for worker in self._workers.values())]:
            lane.close()
        self._workers.clear()
        self._by_fd.clear()
        self._retired.clear()
        self._is_over = True
        while self._inbox:
            what, args = self._inbox.popleft()
            if what == self.add:  # it was submitted meanwhile
                args[0].fail(trouble.cancelled(args[0].name, "was cancelled: the workers were shut down"))
