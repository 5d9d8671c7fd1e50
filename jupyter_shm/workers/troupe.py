"""The actors of an engine: each has a worker of its own, and does what it is called for in the order of the calls.

A worker is given one call at a time.  So what has not begun is here, and can be cancelled without a word to anybody; and
no call begins while another one waits for something.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ..client.promises import Promise
from ..errors import ShmError
from . import trouble
from .lane import Lane
from .task import Task
from .trouble import TaskFailure

if TYPE_CHECKING:
    from .local import LocalEngine
    from .worker import Worker


class Actor:
    """One of them.

    Args:
        name: Of its class, for people.
        worker: Its own.

    Attributes:
        calls: Those that have not begun.
        running: The one that was given to its worker.
        is_dismissed: Nobody can call it any more.
    """

    __slots__ = ("calls", "is_dismissed", "name", "running", "worker")

    def __init__(self, name: str, worker: Worker) -> None:
        self.name = name
        self.worker = worker
        self.calls: deque[Task] = deque()
        self.running: Task | None = None
        self.is_dismissed = False


class Troupe:
    """All actors of an engine.

    Args:
        engine: Whose; all this is called in its thread.
    """

    def __init__(self, engine: LocalEngine) -> None:
        self._engine = engine
        self._actors: dict[int, Actor] = {}
        self._calls: dict[Promise, Task] = {}  # of all that have not ended
        self._gone: dict[int, TaskFailure | str] = {}  # those that ended before they were dismissed: why

    def add(self, task: Task) -> None:
        """An actor was called; the first call makes it."""
        if not task.method:
            self._make(task)
        actor = self._actors.get(task.actor)
        if actor is None:
            task.fail(self._failure(task))
            return
        actor.calls.append(task)
        self._calls.update(dict.fromkeys(task.promises, task))
        for _, ref in task.refs:
            if ref.promise is not None and not ref.promise.is_kept:
                ref.promise.on_kept(lambda _: self._engine.leave(self._go_on, task.actor))
        self._go_on(task.actor)

    def ended(self, worker: Worker, task: Task, failure: TaskFailure | None) -> None:
        """A call has been answered."""
        self._forget(task)
        actor = self._actors.get(worker.number)
        if actor is None:
            return
        actor.running = None
        if failure is not None and not task.method:
            self._end(worker.number, failure)
            worker.lane.kill()
        else:
            self._go_on(worker.number)

    def cancel(self, promise: Promise) -> None:
        """Give a call up.  One that has begun goes on, for its actor's state is worth more; but nobody is told."""
        task = self._calls.get(promise)
        if task is not None:
            self._fail(task, trouble.cancelled(task.name))
            self._go_on(task.actor)

    def dismiss(self, number: int, now: bool) -> None:
        """An actor is wanted no more: it ends when all its calls have; or now."""
        actor = self._actors.get(number)
        if actor is None:
            if not now:
                self._gone.pop(number, None)
        elif now:
            self._end(number, "it was ended by shm.kill")
            actor.worker.lane.kill()
        else:
            actor.is_dismissed = True
            self._go_on(number)

    def stop(self, why: str) -> None:
        """All end."""
        for number in list(self._actors):
            self._end(number, why)

    def _make(self, task: Task) -> None:
        try:
            worker = self._engine.open(task.actor, self._died)
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            self._gone[task.actor] = trouble.failure(ShmError(f"no process could be started for {task.name}: {why}"))
            return
        self._actors[task.actor] = Actor(task.name, worker)

    def _go_on(self, number: int) -> None:
        """Have an actor begin its next call, if it can."""
        actor = self._actors.get(number)
        if actor is None or actor.running is not None:
            return
        while actor.calls:
            task = actor.calls[0]
            is_cancelled = task.promises[0] not in self._calls and task.method
            if not is_cancelled and any(ref.promise is not None and not ref.promise.is_kept for _, ref in task.refs):
                return
            actor.calls.popleft()
            if is_cancelled:
                continue
            failure = self._give(actor, task)
            if failure is None:
                actor.running = task
                return
            self._fail(task, failure)
            if not task.method:
                self._end(number, failure)
                actor.worker.lane.kill()
                return
        if actor.is_dismissed:
            del self._actors[number]
            self._engine.retire(number)

    def _give(self, actor: Actor, task: Task) -> TaskFailure | None:
        """Have a call run; or why it cannot."""
        for _, ref in task.refs:
            if ref.promise is not None and ref.promise.failure is not None:
                return ref.promise.failure  # type: ignore[return-value]
        try:
            self._engine.give(actor.worker, task)
        except Exception as error:  # the store is gone, and with it an argument
            return TaskFailure(trouble.trouble_of(error))
        return None

    def _died(self, number: int, lane: Lane) -> None:
        """The process of an actor is gone."""
        found = self._engine.bury(number, lane)  # answers that had come are taken in here
        if found is not None and number in self._actors:
            self._end(
                number,
                f"its process has ended{found[1]}. It ran out of memory, crashed in compiled code, or a method ended it. "
                "Make a new actor",
            )

    def _end(self, number: int, why: TaskFailure | str) -> None:
        """From now on all calls of an actor fail."""
        actor = self._actors.pop(number)
        if not actor.is_dismissed:
            self._gone[number] = why
        for task in [*([actor.running] if actor.running else []), *actor.calls]:
            self._fail(task, self._reason(task, why))

    def _fail(self, task: Task, failure: TaskFailure) -> None:
        self._forget(task)
        task.fail(failure)

    def _forget(self, task: Task) -> None:
        for promise in task.promises:
            self._calls.pop(promise, None)

    def _failure(self, task: Task) -> TaskFailure:
        return self._reason(task, self._gone.get(task.actor, "nobody had its handle any more"))

    def _reason(self, task: Task, why: TaskFailure | str) -> TaskFailure:
        return why if isinstance(why, TaskFailure) else trouble.actor_died(task.name, why)
