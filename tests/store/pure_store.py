"""A whole store without a process: the core, real tables over plain memory, a heap of bytes, and a clock we set.

What clients send goes the way that it takes in the daemon: packet, session, core, actions carried out in their order,
packet.  Whatever promise can be checked at every action is checked here, so that every test of the core checks it.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Any

from pure_makers import PureMaker
from pure_memory import PureMemory
from pure_parts import Nursery, Piece
from pure_readers import PureReader

from jupyter_shm.errors import ProtocolError
from jupyter_shm.protocol import messages as m
from jupyter_shm.protocol import wire
from jupyter_shm.protocol.session import Session
from jupyter_shm.store import actions as a
from jupyter_shm.store.core import CHANGES, Core
from jupyter_shm.store.extents import PAGE
from jupyter_shm.store.holders import Holders
from jupyter_shm.store.inquiries import Identity
from jupyter_shm.store.ledger import Ledger
from jupyter_shm.store.writes import writes
from jupyter_shm.tables.index import IndexReader, IndexWriter
from jupyter_shm.tables.layout import (
    FREE,
    INDEX_SIZE,
    LIVE,
    MAX_OBJECTS,
    ROW_LOOKING,
    generation_of,
    row_word,
    slot_of,
)
from jupyter_shm.tables.leases import LEASES_SIZE, LeaseTable
from jupyter_shm.tables.prefix import HEAD_SIZE, pack_prefix, read_contained, read_head
from jupyter_shm.tables.ring import COMMIT, DROP
from jupyter_shm.tables.terms import TermsTable

MIB = 1 << 20
START = 1000.0  # seconds; a clock does not begin at zero
WALL = 1_700_000_000.0  # what the other clock shows more
IDENTITY = Identity(0x5701, 4242, "0.1", "3.11.7", START)


class PureStore(PureMemory):
    """The store's side.

    Args:
        capacity: Bytes.
        heap_nbytes: Address space of the heap.
        max_objects: Slots.
        disk: Bytes that the spill heap may take; 0: there is none.

    Attributes:
        now: The clock, in seconds; ``core`` never learns of any other.
        exit: Why the store has ended, if it has.
        on_action: Called after each single action: what a reader may see between any two.
        on_settled: Called when what was due has been done.
        noted: Connections of which the next store is told.
        copies: Is each copy made as soon as there is nothing else to do?
    """

    def __init__(
        self, capacity: int = 8 * MIB, heap_nbytes: int = 64 * MIB, max_objects: int = MAX_OBJECTS, disk: int = 0
    ) -> None:
        self.disk = disk
        self.spill = mmap.mmap(-1, 256 * MIB)
        core = Core(Ledger(capacity, heap_nbytes, max_objects), Holders(), IDENTITY, START)
        index = IndexWriter.create(memoryview(mmap.mmap(-1, INDEX_SIZE)), IDENTITY.store)
        self.begin(core, mmap.mmap(-1, heap_nbytes), index, START)

    def begin(self, core: Core, heap: mmap.mmap, index: IndexWriter, now: float) -> None:
        """Run this core over this memory."""
        if self.disk:
            core.ledger.spill.limit, core.ledger.spill.reason = self.disk, ""
        self.copying: a.Spill | None = None
        self.copies = True
        self.now = now
        self.core = core
        self.core.history.wall = lambda: WALL + self.now
        self.heap = heap
        self.index = index
        self.reader = IndexReader(index.memory.toreadonly())
        self.terms = TermsTable(index.words)
        self.clients: dict[int, PureClient] = {}
        self.exit: str | None = None
        self.on_action: Callable[[a.Action], None] = lambda _: None
        self.on_settled: Callable[[], None] = lambda: None
        self.warming: list[tuple[int, int]] = []
        self.punched: list[tuple[int, int]] = []
        self.noted: set[int] = set()
        self._last_conn = 0
        self._do: dict[type, Callable[[Any], None]] = {
            **writes(self.index),
            a.WriteRecord: self._write_record,
            a.Promise: self._promise,
            a.Pend: self._pend,
            a.Publish: self._publish,
            a.SetTerm: self._set_term,
            a.Warm: self._warm,
            a.NoteClient: lambda do: self.noted.add(do.conn),
            a.ForgetClient: lambda do: self.noted.discard(do.conn),
            a.OpenTable: self._open_table,
            a.Send: self._send,
            a.Punch: self._punch,
            a.Spill: self._spill,
            a.PunchSpill: self._punch_spill,
            a.SetCapacity: lambda do: self.index.set_capacity(do.nbytes),
            a.Exit: self._leave,
        }

    def connect(self, label: str = "a.ipynb", pid: int = 0, watches: bool = False) -> PureClient:
        """A client that said hello and was welcomed, or refused."""
        self._last_conn += 1
        client = self.clients[self._last_conn] = PureClient(self, self._last_conn)
        client.send(m.Hello(pid or 100 + self._last_conn, label, "", "3.11", "0.1", watches))
        return client

    def perform(self, actions: list[a.Action]) -> None:
        """Carry actions out as the daemon does: in order, from first to last."""
        for action in actions:
            self._do[type(action)](action)
            self.on_action(action)

    # --- time ---------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """What the daemon does at a deadline, all sockets being empty."""
        self.perform(self.core.settle(self.now))
        self.on_settled()
        for conn in self.core.asking():
            self.perform(self.core.answer(conn, self.now))
            self.clients[conn].release_wait()
        for client in tuple(self.clients.values()):
            client.go_on()

    def work(self) -> None:
        """Do what is due now."""
        for _ in range(100):
            deadline = self.core.deadline(self.now)
            if deadline is not None and deadline <= self.now and not self.exit:
                self.settle()
            elif self.copying and self.copies:
                self.copied()
            else:
                return
        raise AssertionError("the store has work for ever without time going on")

    def advance(self, seconds: float) -> None:
        """Let time go on, and the store wake up whenever it wants to."""
        end = self.now + seconds
        while not self.exit:
            self.work()
            deadline = self.core.deadline(self.now)
            if deadline is None or deadline > end:
                break
            self.now = deadline
        self.now = end
        self.work()

    def advance_to_rest(self) -> None:
        """Let every grace time and every patience end."""
        self.advance(2.0)

    # --- actions that are more than a write ----------------------------------------------------------------------

    def _open_table(self, action: a.OpenTable) -> None:
        client = self.clients[action.conn]
        client.table = LeaseTable.create(memoryview(mmap.mmap(-1, LEASES_SIZE)), action.client)
        self.core.holders.add(action.client, LeaseTable(client.table.memory.toreadonly()))

    def _send(self, action: a.Send) -> None:
        packet = wire.encode(action.message)
        assert len(packet) + wire.PREAMBLE.size <= wire.MAX_PACKET, "the answer does not fit a packet"
        answer = wire.decode_answer(packet)
        assert answer == action.message, "the answer is not what its type says"
        self.clients[action.conn].receive(answer)

    def _leave(self, action: a.Exit) -> None:
        self.exit = self.exit or action.reason


class PureClient(PureReader, PureMaker):
    """A client's end of a connection.

    Attributes:
        answers: What came, in its order, and was not taken by ``ask``.
        welcome: The store's answer to hello, if it was one.
        table: This client's lease table.
        is_ended: The store answers nothing any more.
        sent: Ids of objects of which a reference was pickled.
    """

    def __init__(self, store: PureStore, conn: int) -> None:
        self.store = store
        self.conn = conn
        self.session = Session()
        self.answers: list[Any] = []
        self.welcome: m.Welcome | None = None
        self.table: LeaseTable
        self.is_ended = False
        self.sent: set[int] = set()
        self.unanswered: set[int] = set()
        self._asked: dict[int, Any] = {}  # bytes of each Reserve, by number
        self._kinds: dict[int, type] = {}  # what was asked, by number
        self._number = 0
        self._queue: list[bytes] = []  # what came behind a request that is not answered yet
        self._head = 0  # the number of that request

    @property
    def id(self) -> int:
        assert self.welcome is not None
        return self.welcome.client

    # --- packets --------------------------------------------------------------------------------------------------

    def send(self, message: m.Request) -> None:
        """Send a message as it is, without letting time go on."""
        self.send_packet(wire.encode_opening(message) if isinstance(message, m.Hello) else wire.encode(message))

    def send_packet(self, packet: bytes) -> None:
        """Send anything.  What the protocol does not allow ends this connection."""
        self._queue.append(packet)
        self.go_on()

    def go_on(self) -> None:
        """Take packets for as long as the one before is answered."""
        while self._queue and not self._head and not self.is_ended:
            self._take(self._queue.pop(0))

    @property
    def is_waiting(self) -> bool:
        """Is there a request that is not answered yet, behind which nothing is read?"""
        return self._head != 0

    def release_wait(self) -> None:
        """A wait that was not answered leaves the queue."""
        self._head = 0

    def _take(self, packet: bytes) -> None:
        try:
            message = self.session.receive(packet, 0)
            if message is None:
                return
            contained = self._contained(message) if isinstance(message, (m.Commit, m.Fulfil)) else ()
        except ProtocolError as error:
            if error.reason == "bad-header":
                text = str(error)
                self.store.perform(self.store.core.refused(self.conn, message.number, error.reason, text))
            else:
                self.is_ended = True
            return
        self._head = 0 if isinstance(message, m.Cancel) else getattr(message, "number", 0)
        self.store.perform(self.store.core.received(self.conn, message, self.store.now, contained))

    def _contained(self, message: m.Commit | m.Fulfil) -> tuple[int, ...]:
        extent = self.store.core.extent_of(self.conn, message.reservation)
        if extent is None or message.nbytes > extent[1]:
            return ()
        offset = message.offset if message.id else extent[0]
        if not extent[0] <= offset <= extent[0] + extent[1] - message.nbytes:
            return ()
        data = self.store.heap[offset : offset + message.nbytes]
        count = read_head(data[:HEAD_SIZE], message.nbytes)[0]
        return read_contained(data, count)

    def post(self, kind: type, *fields: object) -> int:
        """Send a request under the next number; the number."""
        self._number += 1
        self.unanswered.add(self._number)
        self._kinds[self._number] = kind
        if kind is m.Reserve:
            self._asked[self._number] = fields[0]
        self.send(kind(self._number, *fields))
        return self._number

    def receive(self, answer: Any) -> None:
        """Take an answer, and check what can be checked of any."""
        if getattr(answer, "number", 0) == self._head:
            self._head = 0
        if isinstance(answer, m.Welcome):
            self.welcome = answer
        elif answer.number:
            assert answer.number in self.unanswered, "answered twice, or never asked"
            self.unanswered.discard(answer.number)
            self._check_law_1(answer)
            self._check_refusal(answer)
        self.answers.append(answer)

    def _check_law_1(self, answer: Any) -> None:
        """Whatever changes what a name means is answered after the index shows it."""
        reader = self.store.reader
        if isinstance(answer, m.Committed):
            record = reader.live_record(slot_of(answer.id))
            assert record is not None
            assert record.generation == generation_of(answer.id)
            assert record.request == answer.number
            if record.name_nbytes:
                assert reader.find(record.key()) == (slot_of(answer.id), record)
        if isinstance(answer, m.Ready):
            assert all(self.store.bytes_of(name) is not None for name in answer.names)
        kind = self._kinds.pop(answer.number, None)
        if kind is m.Fulfil and isinstance(answer, m.Done):
            requests = [
                self.store.reader.record(object.slot).request
                for object in self.store.ledger.objects.values()
                if object.client == self.id and not object.is_pending
            ]
            assert answer.number in requests
        if kind in CHANGES:
            assert self.welcome is not None
            assert reader.row(self.welcome.row) == (self.welcome.client, answer.number)

    def _check_refusal(self, answer: Any) -> None:
        """Who is told that there is no room is told the truth, at that moment."""
        asked = self._asked.pop(answer.number, None)
        if asked is not None and isinstance(answer, m.Refused) and answer.reason == "full":
            ledger = self.store.ledger
            needed = ledger.extents.pages_needed(asked) * PAGE
            is_full = needed > ledger.capacity - ledger.used - ledger.reserved or not ledger.has_slots()
            assert is_full or "of memory left" in answer.text or "no gap" in answer.text
            if answer.figures is not None:
                self._check_figures(answer.figures)

    def _check_figures(self, told: m.Figures) -> None:
        assert told.capacity == self.store.ledger.capacity
        left = told.capacity - told.used - told.reserved if told.available < 0 else told.available
        assert told.asked > left + told.spillable, "the figures do not justify it"
        assert told.held + told.busy + told.pinned <= told.used

    def take_answer(self, number: int) -> Any:
        """The answer to a request, if it came; it is taken out."""
        for answer in self.answers:
            if getattr(answer, "number", None) == number:
                self.answers.remove(answer)
                return answer
        return None

    def ask(self, kind: type, *fields: object) -> Any:
        """Send a request and let the store do what is due, but let no time go on; the answer, or ``None``."""
        number = self.post(kind, *fields)
        self.store.work()
        return self.take_answer(number)

    def hang_up(self) -> None:
        """The socket is closed, and the table is the store's to forget."""
        store = self.store
        actions = store.core.hung_up(self.conn, store.now)
        if self.welcome is not None:
            store.core.holders.remove(self.welcome.client)
        del store.clients[self.conn]
        store.perform(actions)

    # --- puts -----------------------------------------------------------------------------------------------------

    def reserve(self, nbytes: int) -> m.Reserved:
        """An extent, which must be granted at once."""
        answer = self.ask(m.Reserve, nbytes)
        assert isinstance(answer, m.Reserved), answer
        return answer

    def fill(self, reserved: m.Reserved, data: bytes, contained: tuple[int, ...] = ()) -> int:
        """Write an object into a reserved extent; how many bytes it takes."""
        whole = pack_prefix(contained, b"") + data
        self.store.heap[reserved.offset : reserved.offset + len(whole)] = whole
        return len(whole)

    def commit(self, reserved: m.Reserved, nbytes: int, name: str, overwrite: bool = True, payload: int = 8) -> Any:
        return self.ask(m.Commit, reserved.id, name, nbytes, payload, 1_700_000_000_000_000_000, overwrite)

    def put(self, name: str, data: bytes = b"", contained: tuple[int, ...] = (), *, overwrite: bool = True) -> Any:
        """Reserve, fill and commit; the store's answer to the commit."""
        reserved = self.reserve(len(pack_prefix(contained, b"")) + len(data))
        return self.commit(reserved, self.fill(reserved, data, contained), name, overwrite)

    def put_on_terms(self, name: str, flags: int = 0, ttl: float = 0.0) -> Any:
        """The same, with flags and a time to live, in seconds."""
        reserved = self.reserve(64)
        facts = (name, self.fill(reserved, b""), 8, 1, True, 0, 0, flags, int(ttl * 1e9))
        return self.ask(m.Commit, reserved.id, *facts)

    def publish(self, name: str, data: bytes = b"data", contained: tuple[int, ...] = ()) -> int:
        """Put what must be taken; the object's id."""
        answer = self.put(name, data, contained)
        assert isinstance(answer, m.Committed), answer
        return answer.id

    # --- nurseries and the ring -----------------------------------------------------------------------------------

    def nursery(self, nbytes: int = 64 << 10, slots: int = 8) -> Nursery:
        """A nursery, which must be granted at once."""
        answer = self.ask(m.ReserveNursery, nbytes, slots)
        assert isinstance(answer, m.NurseryReserved), answer
        assert answer.id, "there is none to be had"
        return Nursery(self, answer)

    @property
    def is_looked_at(self) -> bool:
        """Does the row say that the store looks at our ring without our telling?"""
        assert self.welcome is not None
        return bool(self.store.reader.words[row_word(self.welcome.row) + ROW_LOOKING])

    @property
    def unread(self) -> int:
        """Entries of our ring that the store has not read, as its row says."""
        assert self.welcome is not None
        return self.table.ring_head - self.store.reader.tail(self.welcome.row)

    def write(self, piece: Piece, payload: int = 8) -> int:
        """Tell the ring of a piece, and nobody of the ring; the object's id."""
        self.table.append((COMMIT, piece.id, piece.offset, piece.nbytes, payload, 1_700_000_000_000_000_000))
        return piece.id

    def write_drop(self, id: int) -> None:
        """Tell the ring that nothing refers to an object any more, and nobody of the ring."""
        self.table.append((DROP, id, 0, 0, 0, 0))

    def ring(self) -> None:
        """Tell the store of the ring, unless its row says that it looks."""
        if not self.is_looked_at:
            self.send(m.Ring())

    def announce(self, piece: Piece) -> int:
        """What a put of an anonymous object does; its id."""
        self.write(piece)
        self.ring()
        return piece.id

    def commit_piece(self, piece: Piece, name: str, overwrite: bool = True) -> Any:
        """Commit a piece by a message; the answer."""
        facts = (name, piece.nbytes, 8, 1_700_000_000_000_000_000, overwrite)
        return self.ask(m.Commit, piece.nursery, *facts, piece.id, piece.offset)

    # --- leases ---------------------------------------------------------------------------------------------------


def reason(answer: object) -> str:
    """Why an answer is no."""
    assert isinstance(answer, m.Refused), answer
    return answer.reason


def is_live(store: PureStore, id: int) -> bool:
    """Does the index say so, and do the books?"""
    said = store.reader.state(slot_of(id)) == id >> 20 << 8 | LIVE
    known = store.ledger.objects.get(id)
    assert said == (known is not None and known.state == LIVE and not known.is_pending)
    return said


def assert_nothing_is_left(store: PureStore) -> None:
    store.advance_to_rest()
    ledger = store.ledger
    ledger.check()
    assert (ledger.objects, ledger.reservations) == ({}, {})
    assert (ledger.used, ledger.reserved, ledger.extents.pages_used) == (0, 0, 0)
    assert all(slot.state & 0xFF == FREE for slot in store.reader.slots())
