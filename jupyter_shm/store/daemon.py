"""The loop: packets in, core asked, actions carried out.  It decides nothing, and it never waits but for events.

A packet is peeked, carried out, answered and then consumed, so that the store that comes after one that died finds
it.  While its answer is outstanding, nothing behind it is read.
"""

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
from ..linux.limits import machine_memory, memory_limit
from ..protocol import messages as m
from ..protocol import wire
from ..protocol.session import DISCARDING, RESUMED
from . import actions as a
from . import succession
from .attendants import Attendants
from .core import Core
from .doorway import Doorway
from .entrance import Entrance
from .heating import MARGIN
from .lifeline import Lifeline
from .lodging import ClientNote, client_key, encode_note, wait_key
from .pace import AWAKE, BATCH, DRAIN_ROUNDS, PAUSE, WIDE_AWAKE
from .peers import Peer
from .regions import Regions, TableMemory, room_for
from .vault import Vault
from .writes import writes

log = logging.getLogger("jupyter_shm.store")


class Daemon:
    """One store, from its first client to its end.

    Args:
        doorway: Where clients come in; owned.
        regions: The memory; owned.
        core: The decisions.
        vault: What the keeper keeps; owned.
        identity: What is said to a client of another wire version.
    """

    def __init__(self, doorway: Doorway, regions: Regions, core: Core, vault: Vault, identity: str) -> None:
        self._regions = regions
        self._vault = vault
        self._core = core
        core.admission.machine = memory_limit()
        core.admission.room = lambda nbytes: room_for(nbytes, core.ledger.reserved)
        core.history.wall = time.time
        core.admission.spare = lambda nbytes: room_for(nbytes, core.ledger.reserved + machine_memory() // MARGIN)
        self._identity = identity
        self._peers: dict[int, Peer] = {}  # by fd, which is also the core's `conn`
        self._by_pidfd: dict[int, Peer] = {}  # those that are only waited for until their process ends
        self._unwelcomed: list[a.Send] = []  # until the keeper has what is theirs
        self._unlodged: list[Peer] = []  # whose Wait at the head the keeper does not have yet
        self._answered: list[Peer] = []  # whose packet at the head may be done now
        self._exit: str | None = None
        self._awake_until = self._last_packet = self._settled = 0.0
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll = select.epoll()
        self._epoll.register(self._wakeup, select.EPOLLIN)
        self._entrance = Entrance(doorway, self._epoll, vault)
        self._lifeline = Lifeline(vault, self._epoll)
        self._attendants = Attendants(regions, core, self._epoll, self._perform)
        self._do: dict[type, Callable[..., None]] = {
            **writes(regions.index),
            a.Punch: lambda do: regions.give_back(do.offset, do.nbytes),
            **self._attendants.does,
            a.NoteClient: lambda do: self._note(self._peers[do.conn]),
            a.ForgetClient: lambda do: self._forget(self._peers[do.conn]),
            a.OpenTable: self._open_table,
            a.Send: self._send,
            a.Exit: self._leave,
        }

    def heed_signals(self) -> None:
        """From now on SIGTERM, SIGINT and SIGHUP end the store in order."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._signalled)

    def run(self) -> None:
        """Serve until the core or a signal says that it is over, then let go of everything.

        An exception is the end of this process and not of the store: nothing is let go of, and the keeper goes on.
        """
        while self._exit is None:
            self._wait()
            if time.monotonic() >= self._entrance.next_try:
                self._entrance.try_again()
            if self._deadline() <= time.monotonic():
                self._settle()
            if not self._lifeline.is_quiet:
                self._mind_keeper()
        log.info("the store ends: %s", self._exit)
        self._close()

    # --- after a store that died --------------------------------------------------------------------------------

    def resume(self, note: ClientNote, conn: int, table: int) -> None:
        """Go on with a client that an earlier store has welcomed.

        Args:
            note: What that store has noted of it.
            conn: Descriptor of its connection; owned from now on.
            table: Descriptor of its lease table; owned from now on.
        """
        pid = packets.peer_credentials(sock := packets.adopt(conn)).pid
        peer = self._peers[conn] = Peer(sock, pid, DISCARDING if note.is_ended else RESUMED)
        peer.client, peer.leases = note.client, TableMemory(note.client, table)
        self._core.holders.add(note.client, peer.leases.table)
        said = self._regions.said_of(note.row, note.client)
        self._core.resume(conn, note.client, note.row, note.hello, *said, time.monotonic())
        self._epoll.register(conn, peer.mask)

    def recover(self, has_crashed: bool) -> None:
        """Everybody was resumed: answer what was carried out, and has perhaps not been answered, before all else.

        Args:
            has_crashed: The store before has died, and nobody had killed it.
        """
        self._perform(self._core.recover())
        heads = succession.peek_heads(self._peers.values())
        applied = succession.applied(self._core, heads)
        others = {peer: packet for peer, packet in heads.items() if peer not in applied}
        begun = succession.begun(self._regions.index, others)
        culprit = succession.culprit(self._regions.index, others, has_crashed)
        if culprit is not None:
            log.error(
                "client pid %d: the store died again and again at one packet of its; it is let go of", culprit.pid
            )
            self._end(culprit)
            culprit.consume()
        for peer, packet in (*begun.items(), *applied.items()):
            if peer is not culprit:
                self._receive(peer, packet)

    def resume_wait(self, client: int, packet: bytes) -> None:
        """Go on with a wait that an earlier store has taken out of its queue."""
        peer = next((peer for peer in self._peers.values() if peer.client == client), None)
        message = wire.decode_request(packet)
        if peer is not None and isinstance(message, m.Wait):
            peer.waits.add(message.number)
            self._perform(self._core.wait_again(peer.fd, message))
            self._go_on()

    # --- packets in --------------------------------------------------------------------------------------------

    def _deadline(self) -> float:
        """When to settle, in seconds; not at once again, unless somebody waits for it."""
        deadline = self._core.deadline(time.monotonic())
        if deadline is None:
            return math.inf
        return deadline if self._core.is_asked else max(deadline, self._settled + PAUSE)

    def _patience(self) -> float:
        deadline = min(self._deadline(), self._entrance.next_try, self._vault.next_try)
        return -1 if deadline == math.inf else max(0.0, deadline - time.monotonic())

    def _wait(self) -> None:
        """Wait for events; for a moment after a packet without sleeping, for who sent it may send the next one."""
        while time.monotonic() < self._awake_until:
            if self._poll(0):
                return
            os.sched_yield()  # who is to send it may be waiting for this very processor
        self._poll(self._patience())

    def _poll(self, timeout: float) -> int:
        events = self._epoll.poll(timeout)
        for fd, mask in events:
            peer = self._peers.get(fd)
            if peer is not None:
                self._serve(peer, mask)
            elif fd in self._by_pidfd:
                self._hang_up(self._by_pidfd[fd])
            elif fd == self._lifeline.fd:
                self._lifeline.hear()
                self._mind_keeper()
            elif (wanted := self._attendants.hear(fd)) is not None:
                self._attend(wanted)
            elif fd == self._entrance.listener:
                self._accept()
            elif fd == self._wakeup:
                os.eventfd_read(self._wakeup)
            elif fd == self._entrance.watch:
                self._entrance.check()
        return len(events)

    def _settle(self) -> None:
        for _ in range(DRAIN_ROUNDS):
            if not self._poll(0):
                break
        self._settled = time.monotonic()
        # A reader that saw LIVE before the barrier has its lease in memory after it; the grace is for who has none.
        membarrier_expedited()
        self._free()
        for conn in self._core.asking():
            self._answer(self._peers[conn])
        self._go_on()
        for peer in [peer for peer in self._by_pidfd.values() if not self._has_leases(peer)]:
            self._hang_up(peer)

    def _free(self) -> None:
        self._perform(self._core.settle(time.monotonic()))

    def _accept(self) -> None:
        for sock, pid in self._entrance.accept():
            peer = self._peers[sock.fileno()] = Peer(sock, pid)
            self._epoll.register(peer.fd, peer.mask)

    def _serve(self, peer: Peer, mask: int) -> None:
        if mask & select.EPOLLOUT:
            peer.flush()
            self._answered.append(peer)
            self._go_on()
        if not mask & ~select.EPOLLOUT:
            return
        for _ in range(BATCH):
            if peer.head is not None:
                break
            packet = packets.receive(peer.sock, wait=False, peek=True)
            if packet is None:
                return
            if packet == packets.END:
                self._end_of_packets(peer)
                return
            self._receive(peer, packet)
        if peer.head is not None and mask & select.EPOLLHUP:
            self._end_of_packets(peer)

    def _receive(self, peer: Peer, packet: packets.Packet) -> None:
        """Handle the packet at the head, and take it out of the queue if that was all."""
        index = self._regions.index
        index.set_at_work(peer.client)
        peer.head = 0
        self._handle_packet(peer, packet)
        self._answered.append(peer)
        self._go_on()
        index.set_at_work(0)
        now = time.monotonic()
        self._awake_until = now + (WIDE_AWAKE if now < self._last_packet + WIDE_AWAKE else AWAKE)
        self._last_packet = now

    def _handle_packet(self, peer: Peer, packet: packets.Packet) -> None:
        try:
            packets.close_all(packet.descriptors)
            message = peer.session.receive(packet.data, len(packet.descriptors), packet.truncated)
        except ProtocolError as error:
            log.warning("client pid %d broke the protocol (%s): %s", peer.pid, error.reason, error)
            self._end(peer)
            return
        if message is not None:
            self._perform(self._guard(peer, message, self._decide))
        elif peer.session.wire != m.WIRE and not peer.is_ended:
            peer.send(wire.encode_foreign_opening(self._identity))
            self._end(peer)

    def _guard(
        self, peer: Peer, message: m.Request, decide: Callable[[Peer, m.Request], list[a.Action]]
    ) -> list[a.Action]:
        """What to do.  What goes wrong when it is done ends this process: the next one repairs it from the index."""
        try:
            return decide(peer, message)
        except Exception:
            # A bug of ours.  The core checks before it changes anything, so others can go on.
            log.exception("client pid %d: %s could not be carried out", peer.pid, type(message).__name__)
            self._end(peer)
            return []

    def _decide(self, peer: Peer, message: m.Request) -> list[a.Action]:
        contained: tuple[int, ...] = ()
        peer.head = getattr(message, "number", 0)
        if isinstance(message, m.Hello):
            message = msgspec.structs.replace(message, pid=peer.pid or message.pid)
        elif isinstance(message, m.Cancel):
            peer.head = 0  # the number is another request's
            self._end_wait(peer, message.number)
        elif isinstance(message, (m.Commit, m.Fulfil)):
            try:
                contained = self._regions.contained_in(message, self._core.extent_of(peer.fd, message.reservation))
            except ProtocolError as error:
                return self._core.refused(peer.fd, message.number, error.reason, str(error))
        return self._core.received(peer.fd, message, time.monotonic(), contained)

    def _answer(self, peer: Peer) -> None:
        """All sockets were drained: answer a question.  A wait may take for ever, so it leaves the queue."""
        question = self._core.clients[peer.fd].question
        assert question is not None
        self._regions.index.set_at_work(peer.client)
        self._perform(self._guard(peer, question, lambda *_: self._core.answer(peer.fd, time.monotonic())))
        if peer.head and not peer.is_ended:
            assert isinstance(question, m.Wait)
            peer.waits.add(question.number)
            self._vault.keep(wait_key(peer.client, question.number), wire.encode(question))
            self._unlodged.append(peer)
            self._go_on_with_waits()
        self._regions.index.set_at_work(0)

    def _go_on(self) -> None:
        """Take what is done out of its queue, and have the loop tell of what comes next."""
        while self._answered:
            peer = self._answered.pop()
            if peer.fd < 0:
                continue  # it hung up meanwhile
            if peer.is_done:
                self._consume(peer)
            if not peer.has_outbox:
                while peer.told:
                    self._end_wait(peer, peer.told.pop())
            self._watch_peer(peer)

    def _go_on_with_waits(self) -> None:
        """A wait leaves its queue once the keeper has it."""
        if not self._vault.is_behind:
            for peer in self._unlodged:
                peer.head = 0
            self._answered += self._unlodged
            self._unlodged.clear()

    def _consume(self, peer: Peer) -> None:
        peer.consume()
        if peer.late:
            self._core.is_consumed(peer.fd, peer.late, time.monotonic())
            peer.late = 0

    def _end_wait(self, peer: Peer, number: int) -> None:
        if number in peer.waits:
            peer.waits.discard(number)
            self._vault.let_go(wait_key(peer.client, number))

    def _end_of_packets(self, peer: Peer) -> None:
        """The queue is empty for ever.  A peer that only stopped sending keeps its leases until it hangs up."""
        if not peer.has_hung_up():
            if not peer.is_ended:
                log.warning("client pid %d sent an empty packet, or stopped sending", peer.pid)
                self._end(peer)
            # Nothing to read for ever is always ready to be read: from now on only the hang-up is of interest.
            peer.is_empty = True
            self._watch_peer(peer)
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
        self._perform(actions)
        self._unwelcomed = [action for action in self._unwelcomed if action.conn != peer.fd]
        self._unlodged = [other for other in self._unlodged if other is not peer]
        self._epoll.unregister(peer.fd if peer.pidfd < 0 else peer.pidfd)
        self._by_pidfd.pop(peer.pidfd, None)
        del self._peers[peer.fd]
        peer.close()
        if self._entrance.is_deaf:
            self._entrance.try_again()

    def _forget(self, peer: Peer) -> None:
        """Whoever comes after us does all that its end means again, or nothing of it."""
        for number in tuple(peer.waits):
            self._end_wait(peer, number)
        self._vault.let_go(client_key(peer.client))

    def _end(self, peer: Peer) -> None:
        """Answer nothing from now on."""
        peer.end()
        peer.head = 0
        if peer.client:
            self._note(peer)

    # --- actions out -------------------------------------------------------------------------------------------

    def _perform(self, actions: list[a.Action]) -> None:
        for action in actions:
            self._do[type(action)](action)

    def _attend(self, actions: list[a.Action]) -> None:
        self._perform(actions)

    def _open_table(self, action: a.OpenTable) -> None:
        peer = self._peers[action.conn]
        peer.client = action.client
        try:
            peer.leases = TableMemory.create(action.client)
        except OSError as error:
            text = f"the store has no room for another client's lease table: {error}. End some clients"
            peer.send(wire.encode_opening(m.Refused(0, "connection", text)))
            self._end(peer)
            return
        self._core.holders.add(action.client, peer.leases.table)

    def _note(self, peer: Peer) -> None:
        """Have connection and lease table kept: before the client is welcomed, and whenever its note changes."""
        client = self._core.clients.get(peer.fd)
        if client is not None and peer.leases is not None:
            note = ClientNote(client.id, client.row, client.hello, peer.is_ended)
            self._vault.keep(client_key(client.id), encode_note(note), (peer.fd, peer.leases.fd))

    def _send(self, action: a.Send) -> None:
        peer = self._peers.get(action.conn)
        if peer is None or peer.is_ended:
            return
        message = action.message
        if isinstance(message, m.Welcome):
            if self._vault.is_behind:
                # Not before the keeper has the lease table: another store would free what this client reads.
                self._unwelcomed.append(action)
                peer.head = -1
                return
            peer.head = 0
            assert peer.leases is not None
            regions = self._regions
            own = (regions.heap_read_only, regions.heap, regions.index_read_only, peer.leases.fd)
            descriptors = own + regions.spill_for_clients
            is_kept = peer.send(wire.encode_opening(message), descriptors)
        elif peer.leases is None and isinstance(message, m.Refused):
            is_kept = peer.send(wire.encode_opening(message))
        else:
            is_kept = peer.send(wire.encode(message))
            if message.number and message.number == peer.head:
                peer.head = 0
                if peer.has_outbox:
                    peer.late = message.number
                    self._core.is_unanswered(peer.fd, peer.late)
            if isinstance(message, m.Ready):
                peer.told.append(message.number)
        self._answered.append(peer)
        if not is_kept:
            log.warning("client pid %d does not read its answers; ending its connection", peer.pid)
            self._end(peer)

    def _watch_peer(self, peer: Peer) -> None:
        if peer.wanted != peer.mask and peer.pidfd < 0:
            peer.mask = peer.wanted
            self._epoll.modify(peer.fd, peer.mask)

    # --- coming and going --------------------------------------------------------------------------------------

    def _leave(self, action: a.Exit) -> None:
        self._exit = self._exit or action.reason
        # Before whoever asked for it is sure of it: no other store is to begin.
        self._vault.say_ended(self._exit)

    def _signalled(self, number: int, _frame: object) -> None:
        self._exit = self._exit or signal.Signals(number).name
        os.eventfd_write(self._wakeup, 1)

    # --- the keeper --------------------------------------------------------------------------------------------

    def _mind_keeper(self) -> None:
        """Have a keeper; go on with what had to wait until it knew something."""
        self._lifeline.mind()
        self._core.inquiries.keeper = self._vault.keeper
        if not self._vault.is_behind:
            unwelcomed, self._unwelcomed = self._unwelcomed, []
            self._perform(list(unwelcomed))
            self._go_on_with_waits()
            self._go_on()

    def _close(self) -> None:
        assert self._exit is not None
        self._vault.say_ended(self._exit)
        self._attendants.close()
        self._entrance.close()
        for peer in list(self._peers.values()):
            peer.flush()
            peer.close()
        self._regions.close()
        self._vault.close()
        self._epoll.close()
        os.close(self._wakeup)
