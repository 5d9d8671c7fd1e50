"""Tasks that were submitted by tasks: the submitter's half.  Workers ask, and are told what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..client.parcels import STORED
from ..client.promises import Promise, promised
from ..client.refs import ObjectRef
from .functions import Definition
from .messages import Ask, Await, Cancel, Dismiss, Forget, Kept
from .task import Task, arrived, parcel_of

if TYPE_CHECKING:
    from .local import LocalEngine
    from .worker import Worker


class Errands:
    """What the tasks of an engine have submitted.

    Args:
        engine: Whose; all this is called in its thread.
    """

    def __init__(self, engine: LocalEngine) -> None:
        self._engine = engine
        self._asked: dict[tuple[int, int], list[Promise]] = {}  # by lane, and the number that the worker gave
        self._definitions: dict[tuple[int, bytes], Definition] = {}

    def heed(self, worker: Worker, message: Any) -> None:
        """Do what a worker has asked for."""
        if isinstance(message, Ask):
            self._ask(worker, message)
        elif isinstance(message, Await):
            promises = [
                promise for number in message.numbers for promise in self._asked.get((worker.number, number), ())
            ]
            self._engine.awaited(worker, promises, is_over=not message.numbers)
        elif isinstance(message, Forget):
            self._asked.pop((worker.number, message.number), None)
        elif isinstance(message, Cancel):
            for promise in self._asked.get((worker.number, message.number), ()):
                promise.cancel()
        elif isinstance(message, Dismiss):
            self._engine.troupe.dismiss(message.actor, message.now)

    def end(self, worker: Worker) -> None:
        """A worker is gone: nobody wants what it has submitted."""
        for key in [key for key in self._asked if key[0] == worker.number]:
            for promise in self._asked.pop(key):
                promise.cancel()
        for known in [known for known in self._definitions if known[0] == worker.number]:
            del self._definitions[known]

    def _ask(self, worker: Worker, ask: Ask) -> None:
        call, known = ask.call, (worker.number, ask.call.digest)
        if call.code is not None:
            self._definitions[known] = Definition(call.digest, call.code, _held(call.code))
        refs: list[tuple[int | str, ObjectRef]] = [(where, arrived(parcel)) for where, parcel in call.values]
        for where, number, at in ask.needs:
            refs.append((where, promised(self._asked[worker.number, number][at])))
        definition = self._definitions[known]
        kept = _held(call.arguments) + definition.kept
        task = Task(call.name, definition, call.arguments, kept, refs, call.returns, ask.retries)
        task.actor, task.method = call.actor, call.method
        task.origin = next(reversed(worker.origins.values()), None)
        promises = self._asked[worker.number, ask.number] = task.promise(self._engine.cancel)
        promises[-1].on_kept(lambda _: self._tell(worker, ask.number, promises))
        self._engine.add(task)

    def _tell(self, worker: Worker, number: int, promises: list[Promise]) -> None:
        failure = promises[0].failure
        if failure is not None:
            self._engine.send(worker, Kept(number, [], failure.trouble))  # type: ignore[attr-defined]
        else:
            self._engine.send(worker, Kept(number, [parcel_of(promise) for promise in promises], None))


def _held(parcel: Any) -> list[ObjectRef]:
    return [parcel.ref()] if parcel.kind == STORED else []
