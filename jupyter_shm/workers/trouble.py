"""Exceptions on their way from a worker: the original type, with the worker's traceback in the text.  No I/O here."""

from __future__ import annotations

import pickle
import traceback

import cloudpickle  # type: ignore[import-untyped]

from ..errors import ActorDiedError, RemoteTraceback, ShmError, TaskError, WorkerDiedError
from .messages import Trouble

_FLOOR = __name__.rpartition(".")[0]


def trouble_of(error: BaseException) -> Trouble:
    """Make an exception ready to travel.

    Args:
        error: What was raised; its traceback is told from where our own files have called something.
    """
    trace = error.__traceback__
    while trace is not None and str(trace.tb_frame.f_globals.get("__name__")).startswith(_FLOOR):
        trace = trace.tb_next
    try:
        lines = traceback.format_exception(type(error), error, trace)
    except Exception:  # its __str__ may do anything
        lines = [f"{type(error).__name__} (it cannot be shown)\n"]
    try:
        text = str(error)
    except Exception:
        text = "(its text cannot be had)"
    return Trouble(type(error).__name__, text, "".join(lines), _pickled(error))


def _pickled(error: BaseException) -> bytes:
    try:
        return bytes(cloudpickle.dumps(error, 5))
    except Exception:
        return b""


class TaskFailure:
    """Why a task has no result.

    Args:
        trouble: As the worker has told it.
    """

    __slots__ = ("trouble",)

    def __init__(self, trouble: Trouble) -> None:
        self.trouble = trouble

    def error(self) -> BaseException:
        """An exception of its own for each that asks: who raises one changes it."""
        trouble = self.trouble
        error: object = None
        if trouble.data:
            try:
                error = pickle.loads(trouble.data)
            except Exception as reason:
                error = _lost(trouble, f"cannot be rebuilt here ({type(reason).__name__}: {reason})")
        if not isinstance(error, BaseException):
            error = _lost(trouble, "cannot be pickled")
        if trouble.trace:
            error.__cause__ = RemoteTraceback(trouble.trace)
        return error


def _lost(trouble: Trouble, why: str) -> TaskError:
    return TaskError(f"the task raised {trouble.kind}: {trouble.text}. The exception {why}.")


def failure(error: ShmError) -> TaskFailure:
    """A failure of ours, which no worker has raised."""
    return TaskFailure(Trouble(type(error).__name__, str(error), "", _pickled(error)))


def died(name: str, how: str = "", *, is_stillborn: bool = False) -> TaskFailure:
    """The worker of a task has died.

    Args:
        name: Of its function.
        how: For people: " (SIGSEGV)".
        is_stillborn: It never got to do anything, nor did others before it.
    """
    if is_stillborn:
        return failure(
            WorkerDiedError(
                f"{name} was not run: several workers in a row have ended before they could run anything{how}. What they "
                "have printed says why; often a package is missing, or memory."
            )
        )
    return failure(
        WorkerDiedError(
            f"the worker that ran {name} ended before the task did{how}. It ran out of memory, crashed in compiled code, "
            "or the task ended its process. @shm.remote(retries=1) runs such a task again."
        )
    )


def actor_died(what: str, why: str) -> TaskFailure:
    """An actor is gone.

    Args:
        what: A call of it, or itself, for people.
        why: The same.
    """
    return failure(ActorDiedError(f"{what} is not answered, for its actor is gone, and the state with it: {why}."))


def cancelled(name: str, why: str = "was cancelled") -> TaskFailure:
    """A task was cancelled."""
    from .cancelled import TaskCancelledError

    return failure(TaskCancelledError(f"{name} {why}"))
