"""An engine over somebody else's ``concurrent.futures.Executor``, which is taken to be on this machine.

It decides what runs where, and what a death means; so there are no retries here, and output goes where its workers print.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from typing import Any, TypeAlias

from ..client import handover
from ..client.parcels import Parcel
from ..client.promises import Promise
from ..client.refs import ObjectRef
from ..client.travel import reach, session_of
from . import functions, running, trouble
from .messages import Call, Trouble
from .task import Task, value_of
from .trouble import TaskFailure, trouble_of

Keeper: TypeAlias = tuple[int, str, int]
"""An object that keeps others until they were received: id and name of its store, and its own id."""

Answered: TypeAlias = tuple[list[Parcel], "Trouble | None", "Keeper | None"]
"""What a task returned, or why not; and what keeps that, where it is stored."""


KNOWN = 64
"""Functions that a worker remembers."""


class FuturesEngine:
    """Runs tasks on an executor.

    Args:
        executor: Stays its maker's, who shuts it down.
    """

    width = 0
    is_over = False

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._futures: dict[int, Future[Answered]] = {}
        self._tasks: dict[Promise, int] = {}
        self._count = itertools.count(1)
        self._pid = os.getpid()

    def submit(self, task: Task) -> list[Promise]:
        """Have a task run when its references are ready; from any thread."""
        task.number = next(self._count)
        promises = task.promise(self.cancel)
        for promise in promises:
            self._tasks[promise] = task.number
        pending = [ref.promise for _, ref in task.refs if ref.promise is not None and not ref.promise.is_kept]
        if not pending:
            self._begin(task)
            return promises
        left = itertools.count(1)
        for promise in pending:
            promise.on_kept(lambda _: self._begin(task) if next(left) == len(pending) else None)
        return promises

    def cancel(self, promise: Promise) -> None:
        """Give a task up, if it has not begun: what runs on somebody else's worker goes on."""
        future = self._futures.get(self._tasks.get(promise, 0))
        if future is None:
            promise.keep(failure=trouble.cancelled(promise.what))
        else:
            future.cancel()

    def _begin(self, task: Task) -> None:
        failed = [ref.promise.failure for _, ref in task.refs if ref.promise is not None and ref.promise.failure]
        if failed:
            self._end(task, failed[0])  # type: ignore[arg-type]
            return
        try:
            values = [(where, value_of(ref)) for where, ref in task.refs]
            call = Call(task.name, task.definition.digest, task.definition.code, task.arguments, values, task.returns)
            future = self._futures[task.number] = self._executor.submit(run, call)
        except Exception as error:
            self._end(task, TaskFailure(trouble_of(error)))
            return
        future.add_done_callback(lambda future: self._ended(task, future))

    def _ended(self, task: Task, future: Future[Answered]) -> None:
        failure = None
        try:
            parcels, told, keeper = future.result()
            if told is not None:
                failure = TaskFailure(told)
            else:
                task.keep(parcels)
                _received(keeper)
        except CancelledError:
            failure = trouble.cancelled(task.name)
        except Exception as error:  # the executor is broken, or the store is gone
            failure = TaskFailure(trouble_of(error))
        self._end(task, failure)

    def _end(self, task: Task, failure: TaskFailure | None) -> None:
        self._futures.pop(task.number, None)
        for promise in task.promises:
            self._tasks.pop(promise, None)
        if failure is not None:
            task.fail(failure)


_functions: dict[bytes, Callable[..., Any]] = {}


def _function_of(call: Call) -> Callable[..., Any]:
    assert call.code is not None
    if call.digest not in _functions:
        if len(_functions) >= KNOWN:
            _functions.clear()
        _functions[call.digest] = functions.load(call.code)
    return _functions[call.digest]


def run(call: Call) -> Answered:
    """Run a call, in the executor's worker."""
    try:
        parcels, kept = running.carry_out(call, _function_of(call))
        return parcels, None, _keeper_of(kept)
    except Exception as error:
        return [], trouble_of(error), None


def _keeper_of(refs: list[ObjectRef]) -> Keeper | None:
    """Keep what was put for an answer until that is received, and no longer; all of it is in one store."""
    session = session_of(refs[0].store) if refs else None
    if session is None:
        return None
    return session.welcome.store, session.name, handover.send_refs(session, [ref.id for ref in refs])


def _received(keeper: Keeper | None) -> None:
    """We have references of our own."""
    session = reach(*keeper[:2]) if keeper is not None else None
    if keeper is not None and session is not None:
        handover.acknowledge(session, keeper[2])
