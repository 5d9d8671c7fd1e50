"""What the queues tell the store that comes after one that died: which packets were carried out, and which one kills.

A packet stays at the head of its queue until it was answered, so every store finds there what the one before it was
at.  Packets are only looked at here.
"""

from __future__ import annotations

from collections.abc import Iterable
from zlib import crc32

from ..errors import ProtocolError
from ..linux import packets
from ..protocol import wire
from ..tables.index import IndexWriter
from .core import Core
from .peers import Peer

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


def culprit(index: IndexWriter, heads: Heads) -> Peer | None:
    """Whose packet the store died at for the second time; the first time is noted in the index.

    Args:
        index: Says which client's packet the store was at when it died, and which one it was the time before.
        heads: Packets that were not carried out.
    """
    suspect, found = (0, 0), None
    for peer, packet in heads.items():
        if peer.client == index.at_work:
            suspect = (peer.client, crc32(packet.data))
            if suspect == index.suspect:
                suspect, found = (0, 0), peer
    index.set_suspect(*suspect)
    index.set_at_work(0)
    return found


def _was_applied(core: Core, peer: Peer, packet: packets.Packet) -> bool:
    try:
        return core.was_applied(peer.fd, wire.decode_request(packet.data))
    except ProtocolError:
        return False
