"""The loop: packets in, core asked, actions carried out.  It decides nothing, and it never waits but for events."""

from __future__ import annotations

import logging
import math
import os
import select
import signal
import time
from collections.abc import Callable

import msgspec

from ..errors import ProtocolError
from ..linux import packets
from ..linux.barrier import membarrier_expedited
from ..linux.limits import available_memory, machine_memory
from ..protocol import messages as m
from ..protocol import wire
from . import actions as a
from .core import Core
from .doorway import Doorway
from .peers import Peer
from .regions import Regions, TableMemory

log = logging.getLogger("jupyter_shm.store")

BATCH = 512
"""Packets taken from one socket at a time.  A queue holds fewer, so whatever was sent before a drain began is in."""

DRAIN_ROUNDS = 8
"""Times that a drain asks for ready sockets; one answer names 1,023 of them at most, and there are up to 4,096."""

TRY_AGAIN = 1.0
"""Seconds until what failed for lack of something is tried again."""

SMALL = 1 << 20  # bytes: below this the machine's memory is not asked about; /proc takes longer than such a put


class Daemon:
    """One store, from its first client to its end.

    Args:
        doorway: Where clients come in; owned.
        regions: The memory; owned.
        core: The decisions.
        identity: What is said to a client of another wire version.
    """

    def __init__(self, doorway: Doorway, regions: Regions, core: Core, identity: str) -> None:
        self._doorway = doorway
        self._regions = regions
        self._core = core
        core.room = self._room
        self._identity = identity
        self._peers: dict[int, Peer] = {}  # by fd, which is also the core's `conn`
        self._by_pidfd: dict[int, Peer] = {}  # those that are only waited for until their process ends
        self._exit: str | None = None
        self._is_deaf = False  # no descriptor is left for another connection
        self._next_try = math.inf  # when to try again what failed for lack of something
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll = select.epoll()
        self._epoll.register(self._wakeup, select.EPOLLIN)
        self._listen()
        self._do: dict[type, Callable[..., None]] = {
            a.WriteRecord: lambda do: regions.index.write_record(do.slot, do.record),
            a.SetState: lambda do: regions.index.set_state(do.slot, do.generation, do.state),
            a.SetName: lambda do: regions.index.set_name(do.name, do.slot, do.old),
            a.ClearName: lambda do: regions.index.clear_name(do.name, do.slot),
            a.SetRow: lambda do: regions.index.set_row(do.row, do.client, do.number),
            a.Punch: lambda do: regions.punch(do.offset, do.nbytes),
            a.OpenTable: self._open_table,
            a.Send: self._send,
            a.Exit: self._leave,
        }

    def heed_signals(self) -> None:
        """From now on SIGTERM, SIGINT and SIGHUP end the store in order."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._signalled)

    def run(self) -> None:
        """Serve until the core or a signal says that it is over, then let go of everything."""
        try:
            while self._exit is None:
                self._poll(self._patience())
                if time.monotonic() >= self._next_try:
                    self._try_again()
                deadline = self._core.deadline(time.monotonic())
                if deadline is not None and deadline <= time.monotonic():
                    self._settle()
            log.info("the store ends: %s", self._exit)
        finally:
            self._close()

    def _room(self, nbytes: int) -> int:
        """How many bytes the machine can give: the core's question before it grants an extent.

        What is reserved may not be touched yet and so not be missing from the system's figure: it is taken off.
        """
        if nbytes < SMALL:
            return nbytes
        margin = min(64 << 20, machine_memory() // 50)
        return max(0, available_memory() - self._core.ledger.reserved - margin)

    # --- packets in --------------------------------------------------------------------------------------------

    def _patience(self) -> float:
        deadline = self._core.deadline(time.monotonic())
        deadline = self._next_try if deadline is None else min(deadline, self._next_try)
        return -1 if deadline == math.inf else max(0.0, deadline - time.monotonic())

    def _poll(self, timeout: float) -> int:
        events = self._epoll.poll(timeout)
        for fd, mask in events:
            peer = self._peers.get(fd)
            if peer is not None:
                self._serve(peer, mask)
            elif fd in self._by_pidfd:
                self._hang_up(self._by_pidfd[fd])
            elif fd == self._doorway.listener.fileno():
                self._accept()
            elif fd == self._wakeup:
                os.eventfd_read(self._wakeup)
            elif self._doorway.watch is not None and fd == self._doorway.watch.fileno():
                self._check_doorway()
        return len(events)

    def _settle(self) -> None:
        for _ in range(DRAIN_ROUNDS):
            if not self._poll(0):
                break
        # A reader that saw LIVE before the barrier has its lease in memory after it; the grace is for machines and
        # clients that have no barrier.
        membarrier_expedited()
        self._perform(self._core.settle(time.monotonic()))
        for peer in [peer for peer in self._by_pidfd.values() if not self._has_leases(peer)]:
            self._hang_up(peer)

    def _accept(self) -> None:
        while True:
            try:
                sock = packets.accept(self._doorway.listener)
            except OSError as error:
                log.warning("cannot accept another connection: %s; %d are open", error, len(self._peers))
                self._is_deaf = True
                self._epoll.unregister(self._doorway.listener)
                self._next_try = time.monotonic() + TRY_AGAIN
                return
            if sock is None:
                return
            credentials = packets.peer_credentials(sock)
            if credentials.uid != os.getuid():
                log.warning("refused a connection of uid %d, pid %d", credentials.uid, credentials.pid)
                sock.close()
                continue
            peer = self._peers[sock.fileno()] = Peer(sock, credentials.pid)
            self._epoll.register(peer.fd, select.EPOLLIN)

    def _serve(self, peer: Peer, mask: int) -> None:
        if mask & select.EPOLLOUT:
            peer.flush()
            self._watch_peer(peer)
        if mask & ~select.EPOLLOUT:
            for _ in range(BATCH):
                packet = packets.receive(peer.sock, wait=False)
                if packet is None:
                    return
                if packet == packets.END:
                    self._end_of_packets(peer)
                    return
                self._receive(peer, packet)

    def _receive(self, peer: Peer, packet: packets.Packet) -> None:
        try:
            packets.close_all(packet.descriptors)
            message = peer.session.receive(packet.data, len(packet.descriptors), packet.truncated)
        except ProtocolError as error:
            log.warning("client pid %d broke the protocol (%s): %s", peer.pid, error.reason, error)
            peer.end()
            return
        if message is not None:
            try:
                self._handle(peer, message)
            except Exception:
                # A bug of ours.  The core checks before it changes anything, so others can go on.
                log.exception("client pid %d: %s could not be carried out", peer.pid, type(message).__name__)
                peer.end()
        elif peer.session.wire != m.WIRE and not peer.is_ended:
            peer.send(wire.encode_foreign_opening(self._identity))
            peer.end()

    def _handle(self, peer: Peer, message: m.Request) -> None:
        contained: tuple[int, ...] = ()
        if isinstance(message, m.Hello):
            message = msgspec.structs.replace(message, pid=peer.pid or message.pid)
        elif isinstance(message, m.Commit):
            try:
                contained = self._contained(peer, message)
            except ProtocolError as error:
                self._send(a.Send(peer.fd, m.Refused(message.number, error.reason, str(error))))
                return
        self._perform(self._core.received(peer.fd, message, time.monotonic(), contained))

    def _contained(self, peer: Peer, message: m.Commit) -> tuple[int, ...]:
        extent = self._core.extent_of(peer.fd, message.reservation)
        if extent is None or message.nbytes > extent[1]:
            return ()  # the core refuses it, with the reason
        return self._regions.contained(extent[0], message.nbytes)

    def _end_of_packets(self, peer: Peer) -> None:
        """The queue is empty for ever.  A peer that only stopped sending keeps its leases until it hangs up."""
        if not peer.has_hung_up():
            if not peer.is_ended:
                log.warning("client pid %d sent an empty packet, or stopped sending", peer.pid)
                peer.end()
            # Nothing to read for ever is always ready to be read: from now on only the hang-up is of interest.
            self._epoll.modify(peer.fd, 0)
            if not peer.has_hung_up():
                return
        if not (peer.is_ended and self._may_still_read(peer)):
            self._hang_up(peer)

    def _may_still_read(self, peer: Peer) -> bool:
        """A peer whose connection we ended looks as if it hung up when it merely stops sending.

        While it has leases, they count until its process has ended.
        """
        if not (self._has_leases(peer) and peer.wait_for_process(self._core.clients[peer.fd].hello.pid)):
            return False
        self._epoll.unregister(peer.fd)
        self._epoll.register(peer.pidfd, select.EPOLLIN)
        self._by_pidfd[peer.pidfd] = peer
        return True

    def _has_leases(self, peer: Peer) -> bool:
        client = self._core.clients.get(peer.fd)
        return client is not None and any(count for _, _, count, _ in self._core.holders.touched(client.id))

    def _hang_up(self, peer: Peer) -> None:
        actions = self._core.hung_up(peer.fd, time.monotonic())
        if peer.leases is not None:
            self._core.holders.remove(peer.leases.client)
        self._epoll.unregister(peer.fd if peer.pidfd < 0 else peer.pidfd)
        self._by_pidfd.pop(peer.pidfd, None)
        del self._peers[peer.fd]
        peer.close()
        self._perform(actions)
        if self._is_deaf:
            self._try_again()

    # --- actions out -------------------------------------------------------------------------------------------

    def _perform(self, actions: list[a.Action]) -> None:
        for action in actions:
            self._do[type(action)](action)

    def _open_table(self, action: a.OpenTable) -> None:
        peer = self._peers[action.conn]
        peer.leases = TableMemory(action.client)
        self._core.holders.add(action.client, peer.leases.table)

    def _send(self, action: a.Send) -> None:
        peer = self._peers.get(action.conn)
        if peer is None or peer.is_ended:
            return
        message = action.message
        if isinstance(message, m.Welcome):
            assert peer.leases is not None
            regions = self._regions
            descriptors = (regions.heap_read_only, regions.heap, regions.index_read_only, peer.leases.fd)
            is_kept = peer.send(wire.encode_opening(message), descriptors)
        elif peer.leases is None and isinstance(message, m.Refused):
            is_kept = peer.send(wire.encode_opening(message))
        else:
            is_kept = peer.send(wire.encode(message))
        if not is_kept:
            log.warning("client pid %d does not read its answers; ending its connection", peer.pid)
            peer.end()
        self._watch_peer(peer)

    def _watch_peer(self, peer: Peer) -> None:
        if peer.has_outbox != peer.is_watched_for_room and not peer.is_ended:
            peer.is_watched_for_room = peer.has_outbox
            self._epoll.modify(peer.fd, select.EPOLLIN | (select.EPOLLOUT if peer.has_outbox else 0))

    # --- coming and going --------------------------------------------------------------------------------------

    def _leave(self, action: a.Exit) -> None:
        self._exit = self._exit or action.reason

    def _signalled(self, number: int, _frame: object) -> None:
        self._exit = self._exit or signal.Signals(number).name
        os.eventfd_write(self._wakeup, 1)

    def _listen(self) -> None:
        self._epoll.register(self._doorway.listener, select.EPOLLIN)
        if self._doorway.watch is not None:
            self._epoll.register(self._doorway.watch, select.EPOLLIN)

    def _check_doorway(self) -> None:
        watch = self._doorway.watch
        if watch is None or not watch.drain() or self._doorway.is_taken or self._doorway.is_open():
            return
        self._reopen()

    def _reopen(self) -> None:
        # The old descriptors leave the epoll set when they are closed.
        if self._doorway.reopen():
            self._listen()
        elif not self._doorway.is_taken:
            self._next_try = time.monotonic() + TRY_AGAIN

    def _try_again(self) -> None:
        """What failed for lack of descriptors, or because a cleaner was at it: perhaps it works now."""
        self._next_try = math.inf
        if not self._doorway.is_taken and not self._doorway.is_open():
            self._is_deaf = False
            self._reopen()
        elif self._is_deaf:
            self._is_deaf = False
            self._epoll.register(self._doorway.listener, select.EPOLLIN)

    def _close(self) -> None:
        self._doorway.close()
        for peer in list(self._peers.values()):
            peer.flush()
            peer.close()
        self._regions.close()
        self._epoll.close()
        os.close(self._wakeup)
