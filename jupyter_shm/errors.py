"""The one tree of errors, and the reason codes that travel on the wire.  Imports nothing of the package.

People read the text of an error; programs and tests match its class and its ``reason``.
A reason that is no longer sent stays in ``REASON_CODES``, so that an older store's answer is still recognised.
"""

from __future__ import annotations


class ShmError(Exception):
    """Root of everything that jupyter_shm raises on purpose.

    Args:
        text: What happened, with the values, the limit and what to do.
        reason: One of ``REASON_CODES``; the class's own code when omitted.

    Attributes:
        reason: The code to match on.  It never changes between releases.
    """

    default_reason = "error"

    def __init__(self, text: str, *, reason: str | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.reason = reason or self.default_reason

    def __str__(self) -> str:
        # KeyError shows the repr of its argument; a sentence in quotation marks helps nobody.
        return self.text

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.text, self.reason))


def _rebuild(kind: type[ShmError], text: str, reason: str) -> ShmError:
    return kind(text, reason=reason)


class ObjectNotFoundError(ShmError, KeyError):
    """Nobody has published this name, or this version of the object is gone."""

    default_reason = "not-found"


class ObjectExistsError(ShmError):
    """The name is taken and ``overwrite=False`` was asked for.  The stored object is untouched."""

    default_reason = "exists"


class ObjectLostError(ShmError):
    """The process that was to make the object has ended first.  Nobody will make it."""

    default_reason = "lost"


class FulfilledError(ShmError):
    """An object that was still to be made has been made already; it stays what it is."""

    default_reason = "fulfilled"


class InvalidNameError(ShmError, ValueError):
    """A name that is empty, longer than 128 bytes of UTF-8, or holds a NUL.  Nothing was stored."""

    default_reason = "invalid-name"


class InvalidKeyError(ShmError, TypeError):
    """A key that is neither a name (str), an ObjectRef, nor a list of them."""

    default_reason = "invalid-key"


class InvalidModeError(ShmError, ValueError):
    """A read mode that does not exist, or that this type of object cannot be read in."""

    default_reason = "invalid-mode"


class InvalidArgumentError(ShmError, ValueError):
    """An argument that makes no sense, such as a wait for more names than were given."""

    default_reason = "invalid-argument"


class StoreEndingError(ShmError, ConnectionError):
    """The store was just about to end when it was connected to.  Never leaves the package: connecting tries again."""

    default_reason = "ending"


class UnpicklableError(ShmError, TypeError):
    """The object, or something inside it, cannot be pickled.  The store is as it was."""

    default_reason = "unpicklable"


class DeserializeError(ShmError):
    """The stored bytes are there, but this interpreter cannot rebuild the object from them."""

    default_reason = "deserialize"


class PythonMismatchError(DeserializeError):
    """The object holds code pickled by value under another Python minor version.  Data has no such limit."""

    default_reason = "python-mismatch"


class StoreFullError(ShmError, MemoryError):
    """The object does not fit; the text names what was asked, what is free and the largest holders.

    The figures are those of the moment at which it was refused, in bytes.  ``asked`` is more than what ``capacity``,
    ``used`` and ``reserved`` leave together with ``spillable``; or, where memory was the reason, than ``available`` and
    ``spillable``.  They are 0 where bytes were not the reason: the number of objects is limited, too.

    Attributes:
        asked: Pages that the object needs.
        capacity: What used and reserved may be together.
        used: Pages of published objects in memory.
        held: The part of it whose names are gone, but which somebody still reads.
        busy: The part of it that is published, and that somebody reads.
        pinned: The part of it that nobody reads, but that is pinned.
        reserved: Pages of objects that are being written.
        spillable: What would still have been spilled to disk.
        spilled: What is on disk already.
        spill_limit: What may be there at most.
        available: Memory that the machine, or its memory limit, had left; ``None`` when that was not the reason.
        holders: Who has most of the memory: label, bytes published, bytes read.
    """

    default_reason = "full"

    asked = capacity = used = held = busy = pinned = reserved = spillable = spilled = spill_limit = 0
    available: int | None = None
    holders: tuple[tuple[str, int, int], ...] = ()

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.text, self.reason), self.__dict__)


class GetTimeoutError(ShmError, TimeoutError):
    """A wait ended without what it waited for.  The store is as it was."""

    default_reason = "timeout"


class StoreConnectionError(ShmError, ConnectionError):
    """The connection to the store is gone.  Views stay valid; the next call connects again.

    Attributes:
        store: Id of the store that the call was made to; ``None`` when there was none yet.
    """

    store: int | None = None

    default_reason = "connection"


class StoreUnresponsiveError(StoreConnectionError):
    """The store lives but has not answered for ten seconds.  Gets of published names still work."""

    default_reason = "unresponsive"


class StoreStartError(ShmError):
    """No store could be started.  The text holds the end of its log."""

    default_reason = "start"


class StoreInUseError(ShmError):
    """``shutdown()`` was refused because other processes are connected; the text names them."""

    default_reason = "in-use"


class ClosedError(ShmError, ValueError):
    """This ``Store`` was closed.  Its views stay valid; ``connect()`` gives a new one."""

    default_reason = "closed"


class WireVersionError(ShmError):
    """The running store speaks another wire version; the text names its version, interpreter and pid."""

    default_reason = "wire-version"


class ProtocolError(ShmError):
    """The peer sent something that the protocol does not allow.  That connection ends; nothing else does."""

    default_reason = "protocol"


class PeerRefusedError(ShmError, PermissionError):
    """The peer, or the runtime folder, belongs to another user or is open to others."""

    default_reason = "peer-refused"


class LimitError(ShmError, OSError):
    """A limit of this process (ulimit) leaves no room for the store's memory."""

    default_reason = "limit"


class UnsupportedPlatformError(ShmError):
    """This is not Linux, or its kernel lacks something that the store cannot do without."""

    default_reason = "unsupported-platform"


class SettingError(ShmError, ValueError):
    """A setting (environment variable or argument) that cannot be understood."""

    default_reason = "setting"


class RemoteTraceback(Exception):  # noqa: N818 - nobody raises it: it is shown as the cause of what is raised
    """Where, in another process, an exception was raised that is raised here again.

    Args:
        text: The traceback, as Python shows it.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n\n{self.text.rstrip()}\n"


class TaskError(ShmError):
    """What was to make an object failed, and its exception cannot be shown as it was: not pickled, or not rebuilt here.

    The text tells of it.
    """

    default_reason = "task"


class WorkerDiedError(ShmError):
    """The process that ran a task ended before the task did.  What the task had done by then stays done."""

    default_reason = "worker-died"


class ActorDiedError(ShmError):
    """The actor has ended, and its state with it: by ``shm.kill``, the end of the workers, or because its process died."""

    default_reason = "actor-died"


class CancelledError(ShmError):
    """The task was cancelled, or the workers were shut down before it had ended."""

    default_reason = "cancelled"


class StoreLostWarning(UserWarning):
    """The store that this process was connected to has ended, and a new one was connected to: names are gone."""


def _tree(root: type[ShmError]) -> list[type[ShmError]]:
    return [root, *(leaf for branch in root.__subclasses__() for leaf in _tree(branch))]


ERRORS: dict[str, type[ShmError]] = {kind.default_reason: kind for kind in _tree(ShmError)}
"""Reason code to class: how an answer of the store becomes an exception in the client."""

REASON_CODES = frozenset(ERRORS) | {
    "packet-truncated",  # longer than 64 KiB, or its descriptors were cut off
    "malformed",  # no message of this wire version can be read from the packet
    "illegal",  # a message that is not legal in this state of the connection
    "unexpected-descriptors",  # descriptors travelled with a message that takes none
    "bad-reservation",  # a commit or abort of an extent that this connection has not reserved
    "bad-header",  # an object header that does not fit its extent
    "again",  # a store that died had refused this request; the client asks once more by itself
    "contained-gone",  # an object lists another one that the store no longer has
}


def error_from(reason: str, text: str, **figures: object) -> ShmError:
    """Build the exception for an answer of the store.

    Args:
        reason: The code of the answer.  A code of a newer release is kept on a plain ``ShmError``.
        text: The store's sentence, shown as it came.
        figures: What else it tells; attributes of the exception.

    Returns:
        An exception, not raised.
    """
    error = ERRORS.get(reason, ProtocolError if reason in REASON_CODES else ShmError)(text, reason=reason)
    for name, value in figures.items():
        setattr(error, name, value)
    return error
