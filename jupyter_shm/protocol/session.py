"""Which message is legal when, and with how many descriptors: one connection seen from the store.  No I/O here.

Rule 1: whatever decides the fate of a connection stands in the table ``LEGAL``.
"""

from __future__ import annotations

from typing import get_args

from ..errors import ProtocolError
from . import messages, wire

NEW, OPEN, RESUMED, DISCARDING = "new", "open", "resumed", "discarding"
"""Before Hello; after Welcome; taken over from a store that died, and nothing read yet; after a protocol error: read
and thrown away until the peer hangs up."""

_OPEN_REQUESTS = tuple(kind for kind in get_args(messages.Request) if kind is not messages.Hello)

LEGAL: dict[tuple[str, type], str] = {
    (NEW, messages.Hello): OPEN,
    (RESUMED, messages.Hello): OPEN,  # seen again: the store died before it had consumed it
    **{(state, kind): OPEN for kind in _OPEN_REQUESTS for state in (OPEN, RESUMED)},
}
"""(state, message) to the next state.  What is not in the table is ``illegal``."""

DESCRIPTORS: dict[type, int] = {messages.Welcome: 4}
"""Descriptors that travel with a message; 0 for those that are not named.  No request carries any."""


class Session:
    """One connection's place in the protocol.

    Args:
        state: ``NEW``, or for a connection that an earlier store has accepted ``RESUMED`` or ``DISCARDING``.

    Attributes:
        state: ``NEW``, ``OPEN``, ``RESUMED`` or ``DISCARDING``.
        wire: Wire version of the client, known once its first packet came.
    """

    __slots__ = ("number", "state", "wire")

    def __init__(self, state: str = NEW) -> None:
        self.state = state
        self.wire = 0 if state == NEW else messages.WIRE
        self.number = 0

    def receive(self, packet: bytes, descriptors: int, truncated: bool = False) -> messages.Request | None:
        """Take what one ``recvmsg`` returned.

        Args:
            packet: The bytes, not empty.
            descriptors: How many descriptors came with it.  The caller owns and closes them.
            truncated: The kernel cut the packet or its descriptors.

        Returns:
            The message.  ``None`` when this connection is being discarded, and when a client of another wire
            version said hello (``wire`` is then that version, and the connection is to be told and ended).

        Raises:
            ProtocolError: The packet is not legal here; from now on the session is ``DISCARDING``.
        """
        if self.state == DISCARDING:
            return None
        try:
            return self._advance(packet, descriptors, truncated)
        except ProtocolError:
            self.state = DISCARDING
            raise

    def _advance(self, packet: bytes, descriptors: int, truncated: bool) -> messages.Request | None:
        if truncated:
            raise ProtocolError(
                f"a packet was longer than {wire.MAX_PACKET} bytes, or lost descriptors", reason="packet-truncated"
            )
        if self.state == NEW or (self.state == RESUMED and packet.startswith(wire.MAGIC)):
            self.wire, packet = wire.split_opening(packet)
            if self.wire != messages.WIRE:
                self.state = DISCARDING
                return None
        message = wire.decode_request(packet)
        after = LEGAL.get((self.state, type(message)))
        if after is None:
            raise ProtocolError(
                f"{type(message).__name__} is not legal in state {self.state!r} of a connection", reason="illegal"
            )
        if descriptors != DESCRIPTORS.get(type(message), 0):
            raise ProtocolError(
                f"{descriptors} descriptors came with {type(message).__name__}, which takes none",
                reason="unexpected-descriptors",
            )
        self._check_number(message)
        _check_texts(message)
        self.state = after
        return message

    def _check_number(self, message: messages.Request) -> None:
        number = getattr(message, "number", None)
        if number is None or isinstance(message, messages.Cancel):
            return
        if not self.number < number < 1 << 63:
            raise ProtocolError(
                f"request {number} came after request {self.number}; numbers must rise", reason="illegal"
            )
        self.number = number


def _check_texts(message: messages.Request) -> None:
    """Texts come back in answers, which have to fit a packet: the client cuts or refuses longer ones itself.

    A Commit is left out: its name is refused by the core, which gives the reservation a chance to be used.
    """
    texts: tuple[str, ...]
    if isinstance(message, messages.Hello):
        texts, limit = (message.label, message.kernel, message.python, message.package), messages.MAX_LABEL
    elif isinstance(message, messages.Wait):
        texts, limit = message.names, messages.MAX_NAME
        _check_wait(message)
    elif isinstance(message, (messages.Look, messages.Delete, messages.Info, messages.Pin, messages.Expire)):
        texts, limit = (message.name,), messages.MAX_NAME
    else:
        return
    longest = max((len(text.encode()) for text in texts), default=0)
    if longest > limit:
        raise ProtocolError(
            f"{type(message).__name__} has a text of {longest} bytes; the limit is {limit}", reason="illegal"
        )


def _check_wait(wait: messages.Wait) -> None:
    """A wait for nothing is a question: which of these are there now?"""
    names, ids = len(wait.names), len(wait.ids)
    is_sized = names <= messages.MAX_WAIT_NAMES and ids <= messages.MAX_WAIT_IDS
    if not (0 <= wait.count <= names + ids and is_sized and names + ids and (wait.count or ids)):
        raise ProtocolError(f"a wait for {wait.count} of {names} names and {ids} objects", reason="illegal")
