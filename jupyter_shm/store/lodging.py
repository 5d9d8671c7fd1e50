"""What store and keeper say to each other, and what the keeper keeps.  No I/O here.

The keeper understands nothing of what it keeps: a key, a note for the next store, and descriptors.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import msgspec

from ..protocol.messages import Hello

LOCK, LISTENER, MEMORY, SPILL, READY = "lock", "listener", "memory", "spill", "ready"
"""Keys of the store's lock (one descriptor), its listening socket (one), its memory (four, see ``Regions``), its
spill heap (two, the same; or none, and the reason why as a note), and of
the pipe on which the first store tells who started it that it is ready, or why not (one)."""


def client_key(client: int) -> str:
    """Key of a client: its connection, its lease table, and a ``ClientNote``."""
    return f"client/{client}"


def wait_key(client: int, number: int) -> str:
    """Key of a ``Wait`` that is not answered yet: no descriptor, the packet as it came."""
    return f"wait/{client}/{number}"


class Lodged(NamedTuple):
    """One thing that is kept."""

    note: bytes
    descriptors: tuple[int, ...]


class ClientNote(msgspec.Struct, frozen=True, array_like=True):
    """What the next store has to know of a client besides its descriptors."""

    client: int  # its id
    row: int  # of the index
    hello: Hello
    is_ended: bool  # its connection was ended; only its leases count still


class Here(msgspec.Struct, frozen=True, array_like=True, tag="here"):
    """Who speaks; the first message in both directions."""

    pid: int


class Keep(msgspec.Struct, frozen=True, array_like=True, tag="keep"):
    """Keep the descriptors that travel with this, in the place of what was kept under the key."""

    key: str
    note: bytes


class LetGo(msgspec.Struct, frozen=True, array_like=True, tag="let-go"):
    """Nobody needs this any more."""

    key: str


class Serving(msgspec.Struct, frozen=True, array_like=True, tag="serving"):
    """The store serves, and everything that is to be kept has been said: from now on it can be started again."""


class Ended(msgspec.Struct, frozen=True, array_like=True, tag="ended"):
    """The store ends in order: nothing is to be kept, and no other store is to be started."""

    reason: str


Word: TypeAlias = Here | Keep | LetGo | Serving | Ended

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Word).decode
encode_note = encode
decode_note = msgspec.msgpack.Decoder(ClientNote).decode
