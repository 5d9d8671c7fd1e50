"""Message to packet and back.  No I/O here.

One packet is one message in msgpack.  The two packets that open a connection (the client's ``Hello`` and the
store's answer to it) carry a preamble of eight bytes in front, the same in every wire version: four letters and
the version as a little-endian number.  Behind the preamble of another wire version stands plain text for people.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from ..errors import ProtocolError, WireVersionError
from . import messages

MAGIC = b"JSHM"
PREAMBLE = struct.Struct("<4sI")
MAX_PACKET = 64 * 1024  # bytes; one packet is one message, payloads travel in the heap

_encode = msgspec.msgpack.Encoder().encode


class _Reader:
    """A decoder of one side's messages, made at its first use: that takes 0.5 ms, and no process reads both sides'."""

    __slots__ = ("decode", "kind")

    def __init__(self, kind: object) -> None:
        self.kind = kind

    def __getattr__(self, name: str) -> Any:
        # Asked only for what is not there, which is ``decode``, once.
        self.decode = msgspec.msgpack.Decoder(self.kind).decode
        return getattr(self, name)


_requests, _answers = _Reader(messages.Request), _Reader(messages.Answer)

encode = _encode
"""Turn any message but the opening ones into its packet."""


def encode_opening(message: messages.Hello | messages.Welcome | messages.Refused, wire: int = messages.WIRE) -> bytes:
    """Turn the first message of one side into its packet."""
    return PREAMBLE.pack(MAGIC, wire) + _encode(message)


def encode_foreign_opening(text: str) -> bytes:
    """Answer a client of another wire version: our preamble, and a sentence that says who we are."""
    return PREAMBLE.pack(MAGIC, messages.WIRE) + text.encode()


def split_opening(packet: bytes) -> tuple[int, bytes]:
    """Take the preamble off an opening packet.

    Returns:
        The wire version of the peer, and what stands behind the preamble.

    Raises:
        ProtocolError: ``malformed``; this is no jupyter_shm peer.
    """
    if len(packet) < PREAMBLE.size or packet[:4] != MAGIC:
        raise ProtocolError(
            f"the first packet starts with {packet[:8]!r}, not with {MAGIC!r}: the peer is no jupyter_shm",
            reason="malformed",
        )
    return PREAMBLE.unpack_from(packet)[1], packet[PREAMBLE.size :]


def decode_request(packet: bytes) -> messages.Request:
    """Read a packet of a client.

    Raises:
        ProtocolError: ``malformed``, with the place in the message that is wrong.
    """
    return _decode(_requests.decode, packet)  # type: ignore[return-value]


def decode_answer(packet: bytes) -> messages.Answer:
    """Read a packet of the store.  Raises as ``decode_request``."""
    return _decode(_answers.decode, packet)  # type: ignore[return-value]


def decode_welcome(packet: bytes) -> messages.Answer:
    """Read the store's first packet.

    Raises:
        WireVersionError: the store speaks another wire version; the text is the store's own sentence about itself
            and both cures.
        ProtocolError: ``malformed``.
    """
    wire, body = split_opening(packet)
    if wire != messages.WIRE:
        raise WireVersionError(
            f"{body.decode(errors='replace')} speaks wire version {wire}; this process speaks {messages.WIRE}. "
            "Stop that store with `jupyter shm stop` (what it holds is lost), or use another one beside it: set "
            "JUPYTER_SHM_STORE to a name of your choice before connecting."
        )
    return decode_answer(body)


def _decode(decode: object, packet: bytes) -> object:
    try:
        return decode(packet)  # type: ignore[operator]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(
            f"a packet of {len(packet)} bytes holds no message of wire version {messages.WIRE}: {error}",
            reason="malformed",
        ) from error
