"""Tasks that are submitted by tasks: the worker's half.  The submitter runs them; who waits for one may have to do it."""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import threading
import weakref
from time import monotonic

from ..client import promises as client_promises
from ..client.connection import FOREVER
from ..client.promises import Latch, Promise, promise_of
from ..client.refs import ObjectRef
from . import engines
from .messages import Ask, Await, Call, Cancel, Dismiss, Forget, Kept, Where
from .running import Worker
from .task import Task, value_of
from .trouble import TaskFailure, cancelled

TURN = 0.02
"""Seconds after which a thread that waits looks whether it has to read, because the one that did so has gone on."""


def install(worker: Worker) -> None:
    """From now on, tasks that are submitted in this process go to its submitter."""
    relay = Relay(worker)
    engines.use(relay)
    client_promises.sleeping[:] = [relay.wait]


class Relay:
    """The engine of a worker.

    Args:
        worker: This process.
    """

    width = 0
    is_over = False

    def __init__(self, worker: Worker) -> None:
        self.home = os.getppid()
        self._worker = worker
        worker.on_kept = self._kept
        self._count = itertools.count(1)
        self._pending: dict[int, Task] = {}
        self._places: weakref.WeakKeyDictionary[Promise, tuple[int, int]] = weakref.WeakKeyDictionary()
        self._known: set[bytes] = set()
        self._waits: list[list[int]] = []  # what is waited for, the innermost last
        self._lock = threading.RLock()
        self._reading = threading.RLock()

    def submit(self, task: Task) -> list[Promise]:
        """Have a task run."""
        promises = task.promise(self.cancel)
        elsewhere = [
            promise for promise in map(_pending, task.refs) if promise is not None and promise not in self._places
        ]
        if elsewhere:
            self._submit_later(task, elsewhere)
        else:
            self._ask(task)
        return promises

    def cancel(self, promise: Promise) -> None:
        """Give a task up."""
        place = self._places.get(promise)
        if place is not None:
            self._worker.send(Cancel(place[0]))

    def dismiss(self, actor: int, *, now: bool) -> None:
        """An actor is wanted no more."""
        with contextlib.suppress(OSError):
            self._worker.send(Dismiss(actor, now))

    def abandon(self) -> None:
        """We are a forked child, and no worker; what was pending is our parent's."""
        client_promises.sleeping.clear()
        failure = cancelled("a task of the process that this one was forked from", "cannot be waited for here")
        for task in self._pending.values():
            task.fail(failure)

    def _submit_later(self, task: Task, missing: list[Promise]) -> None:
        left = itertools.count(1)

        def one_more(_promise: Promise) -> None:
            if next(left) == len(missing):
                self._ask(task)

        for promise in missing:
            promise.on_kept(one_more)

    def _ask(self, task: Task) -> None:
        with self._lock:
            number = next(self._count)
            values, needs = [], []
            for where, ref in task.refs:
                promise = ref.promise
                place = self._places.get(promise) if promise is not None else None
                if promise is not None and promise.failure is not None:
                    task.fail(promise.failure)  # type: ignore[arg-type]
                    return
                if place is not None and promise is not None and not promise.is_kept:
                    needs.append((where, *place))
                else:
                    values.append((where, value_of(ref)))
            definition = task.definition
            code = None if definition.digest in self._known else definition.code
            self._known.add(definition.digest)
            left = [len(task.promises)]
            for at, promise in enumerate(task.promises):
                self._places[promise] = number, at
                weakref.finalize(promise, self._dropped, number, left).atexit = False
            self._pending[number] = task
            call = Call(
                task.name, definition.digest, code, task.arguments, values, task.returns, task.actor, task.method
            )
            self._worker.send(Ask(number, call, needs, task.retries))

    def _dropped(self, number: int, left: list[int]) -> None:
        left[0] -= 1
        if not left[0]:
            self._worker.send(Forget(number))

    def _kept(self, message: Kept) -> None:
        task = self._pending.pop(message.number, None)
        if task is None:
            return
        if message.failure is not None:
            task.fail(TaskFailure(message.failure))
        else:
            task.keep(message.parcels)

    # --- waiting ----------------------------------------------------------------------------------------------------

    def wait(self, latch: Latch, deadline: float, pending: list[Promise]) -> bool:
        """Wait at a latch for some promises; meanwhile do what the submitter wants done."""
        ours = sorted({place[0] for promise in pending if (place := self._places.get(promise)) is not None})
        if not ours:
            return latch.wait(deadline)
        self._worker.printer.flush()
        self._waits.append(ours)
        self._worker.send(Await(ours))
        try:
            while True:
                if latch.wait(monotonic()):
                    return True
                if monotonic() >= deadline:
                    return False
                if self._reading.acquire(blocking=False):
                    try:
                        self._read(deadline)
                    finally:
                        self._reading.release()
                elif latch.wait(min(deadline, monotonic() + TURN)):
                    return True
        finally:
            # The task that goes on may itself be done for one that waits, below it on the stack.
            self._waits.remove(ours)
            self._worker.send(Await(self._waits[-1] if self._waits else []))

    def _read(self, deadline: float) -> None:
        if not self._worker.has_work:
            poll = select.poll()
            poll.register(self._worker, select.POLLIN)
            left = min(deadline - monotonic(), 1.0) if deadline != FOREVER else 1.0
            if not poll.poll(max(0.0, left) * 1000):
                return
        self._worker.step()


def _pending(argument: tuple[Where, ObjectRef]) -> Promise | None:
    ref = argument[1]
    if ref.promise is None or ref.promise.is_kept:
        return None
    return promise_of(ref)
