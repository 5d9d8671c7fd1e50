"""What the queues tell the store that comes after one that died: which packets were carried out, and which one kills.

A packet stays at the head of its queue until it was answered, so every store finds there what the one before it was
at.  Packets are only looked at here.
"""

from __future__ import annotations

from collections.abc import Iterable
from zlib import crc32

from ..errors import ProtocolError
from ..linux import packets
from ..protocol import messages as m
from ..protocol import wire
from ..tables.index import IndexWriter
from .core import Core
from .peers import Peer

CRASH, KILL = 5, 2
"""What a death counts: a crash is the packet's fault, as likely as not; a SIGKILL hardly ever, for the next store serves
the same packet first, and whoever kills twice in a row hits it there again.  The system kills so when memory is short."""

LIMIT = 10
"""Sum of these at which a packet is dropped: two crashes, or five kills in a row."""

Heads = dict[Peer, packets.Packet]
"""The packet at the head of each queue that is not empty."""


def peek_heads(peers: Iterable[Peer]) -> Heads:
    """Look at the head of every queue."""
    heads = {}
    for peer in peers:
        packet = packets.receive(peer.sock, wait=False, peek=True)
        if packet is not None:
            packets.close_all(packet.descriptors)
            if packet != packets.END:
                heads[peer] = packets.Packet(packet.data, (), packet.truncated)
    return heads


def applied(core: Core, heads: Heads) -> Heads:
    """Those that were carried out, or refused, and perhaps not answered."""
    return {peer: packet for peer, packet in heads.items() if _was_applied(core, peer, packet)}


def begun(index: IndexWriter, heads: Heads) -> Heads:
    """The one that may be half done, and is done again before anybody is served: nobody can tell then.

    Args:
        index: Says which client's packet the store was at when it died.
        heads: Packets that were not carried out, as far as their clients' rows say.
    """
    mine = {peer: packet for peer, packet in heads.items() if peer.client == index.at_work}
    return {peer: packet for peer, packet in mine.items() if isinstance(_request(packet), (m.Pin, m.Expire))}


def culprit(index: IndexWriter, heads: Heads, has_crashed: bool) -> Peer | None:
    """At whose packet the store died so often that it must be the packet; the deaths are counted in the index.

    Args:
        index: Says which client's packet the store was at when it died, and which one it was the time before.
        heads: Packets that were not carried out.
        has_crashed: The store died by itself; nobody had killed it.
    """
    found = next((peer for peer in heads if peer.client == index.at_work), None)
    index.set_at_work(0)
    if found is None:
        index.set_suspect(0, 0)
        return None
    sum = crc32(heads[found].data)
    client, word = index.suspect
    is_known = (client, word & 0xFFFFFFFF) == (found.client, sum)
    deaths = (word >> 32 if is_known else 0) + (CRASH if has_crashed else KILL)
    if deaths < LIMIT:
        index.set_suspect(found.client, deaths << 32 | sum)
        return None
    index.set_suspect(0, 0)
    return found


def _was_applied(core: Core, peer: Peer, packet: packets.Packet) -> bool:
    request = _request(packet)
    return request is not None and core.was_applied(peer.fd, request)


def _request(packet: packets.Packet) -> m.Request | None:
    try:
        return wire.decode_request(packet.data)
    except ProtocolError:
        return None
