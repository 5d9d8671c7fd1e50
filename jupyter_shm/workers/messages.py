"""What a submitter and its worker say to each other, in order, over one socket.  No I/O here.

Tasks have numbers, given by the submitter for each worker, which rise.  What a worker submits itself it numbers itself.
"""

from __future__ import annotations

import struct
from typing import TypeAlias

import msgspec

from ..client.parcels import Parcel

Where: TypeAlias = int | str
"""Which argument: its position, or its keyword."""


class Call(msgspec.Struct, array_like=True):
    """A function and its arguments.

    Attributes:
        name: Of the function, for people.
        digest: Of its definition; whoever has seen that needs no code.
        code: The definition; ``None``: it was sent before.
        arguments: A tuple of the positional arguments and a dict of the others; those that were references are left out.
        values: Those: which argument, and its value.
        returns: How many values it is to return.
        actor: Which actor it is for; 0: none.
        method: Of the actor; ``""``: the definition is its class, and this makes it.
    """

    name: str
    digest: bytes
    code: Parcel | None
    arguments: Parcel
    values: list[tuple[Where, Parcel]]
    returns: int
    actor: int = 0
    method: str = ""


class Run(msgspec.Struct, tag="r", array_like=True):
    """Run a task.

    Attributes:
        number: Rises with each.
        call: What.
    """

    number: int
    call: Call


class Got(msgspec.Struct, tag="g", array_like=True):
    """The submitter has references of its own to all that the answer of a task named."""

    number: int


class Clear(msgspec.Struct, tag="x", array_like=True):
    """Forget all functions: those that are needed again are sent again."""


class Kept(msgspec.Struct, tag="k", array_like=True):
    """A task that the worker had submitted has ended.

    Attributes:
        number: As the worker has numbered it.
        parcels: What it returned.
        failure: Or why it did not.
    """

    number: int
    parcels: list[Parcel]
    failure: Trouble | None


class Hello(msgspec.Struct, tag="h", array_like=True):
    """The worker has started."""


class Answer(msgspec.Struct, tag="a", array_like=True):
    """A task has ended.

    Attributes:
        number: Of the task.
        parcels: What it returned.
        failure: Or why it did not.
        is_kept: The worker keeps references until it is told that the answer was received.
    """

    number: int
    parcels: list[Parcel]
    failure: Trouble | None
    is_kept: bool


class Output(msgspec.Struct, tag="o", array_like=True):
    """Something was printed.

    Attributes:
        number: By which task; the last one that ran, where it has ended.
        is_error: To stderr?
        text: What.
    """

    number: int
    is_error: bool
    text: str


class Trouble(msgspec.Struct, array_like=True):
    """An exception on its way.

    Attributes:
        kind: Name of its type.
        text: What it says.
        trace: The traceback in the worker, as text.
        data: The exception, pickled; empty where that cannot be.
    """

    kind: str
    text: str
    trace: str
    data: bytes


class Ask(msgspec.Struct, tag="q", array_like=True):
    """A task submits a task.

    Attributes:
        number: By which the worker will know it.
        call: What; a value of ``None`` is that of one of its own tasks:
        needs: which argument, the number of that task, and which of its values.
        retries: As for ``remote``.
    """

    number: int
    call: Call
    needs: list[tuple[Where, int, int]]
    retries: int


class Await(msgspec.Struct, tag="w", array_like=True):
    """The worker has nothing to do until one of these tasks that it submitted has ended; none: it has again."""

    numbers: list[int]


class Forget(msgspec.Struct, tag="f", array_like=True):
    """Nobody in the worker refers to a task any more that it had submitted; it runs all the same."""

    number: int


class Cancel(msgspec.Struct, tag="c", array_like=True):
    """Cancel a task that the worker had submitted."""

    number: int


class Dismiss(msgspec.Struct, tag="d", array_like=True):
    """An actor is wanted no more.

    Attributes:
        actor: Which.
        now: Whatever it does; else when it has done what it was called for.
    """

    actor: int
    now: bool


ToWorker: TypeAlias = "Run | Got | Kept | Clear"
FromWorker: TypeAlias = "Hello | Answer | Output | Ask | Await | Forget | Cancel | Dismiss"

_LENGTH = struct.Struct("<I")
_encoder = msgspec.msgpack.Encoder()
_to_worker = msgspec.msgpack.Decoder(Run | Got | Kept | Clear)
_from_worker = msgspec.msgpack.Decoder(Hello | Answer | Output | Ask | Await | Forget | Cancel | Dismiss)


def encode(message: ToWorker | FromWorker) -> bytes:
    """A message as it stands in the stream."""
    data = _encoder.encode(message)
    return _LENGTH.pack(len(data)) + data


class Inbox:
    """Cuts what comes out of a socket into messages.

    Args:
        of_worker: They come from a worker; else they go to one.
    """

    def __init__(self, of_worker: bool) -> None:
        self._decode = _from_worker.decode if of_worker else _to_worker.decode
        self._data = bytearray()

    def feed(self, data: bytes) -> list[ToWorker | FromWorker]:
        """Take what has come; the messages that are whole now."""
        buffer = self._data
        buffer += data
        found: list[ToWorker | FromWorker] = []
        at, end = 0, len(buffer)
        with memoryview(buffer) as view:
            while end - at >= 4:
                (size,) = _LENGTH.unpack_from(view, at)
                if end - at - 4 < size:
                    break
                found.append(self._decode(view[at + 4 : at + 4 + size]))
                at += 4 + size
        del buffer[:at]
        return found
