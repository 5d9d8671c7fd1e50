"""One connection to the store: requests out, answers in, matched by number.

Any thread may ask.  Whoever waits for an answer while nobody reads becomes the reader, and hands the answers that
are not its own to the threads that wait for them; so no thread is needed that only reads.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from ..errors import (
    ProtocolError,
    ShmError,
    StoreConnectionError,
    StoreEndingError,
    StoreUnresponsiveError,
    error_from,
)
from ..linux import packets
from ..protocol import messages as m
from ..protocol import wire
from .lock import is_mine, new_lock

PATIENCE = 10.0
"""Seconds without any answer after which the store is said to be unresponsive."""

TRIES = 3
"""Times that it gets them, if it was started again in between."""

RETRY = 0.05
"""Seconds until a one-way message that found the queue full is tried again."""

EAGER = 30
"""Times that an answer which is on its way is looked for before it is waited for: some 30 µs, less than a wake-up."""

CHANGES = (m.Reserve, m.ReserveNursery, m.Commit, m.Delete, m.Pin, m.Expire, m.Pend, m.Fulfil)
"""Requests that change something: the index shows that they were carried out before they are answered."""

FOREVER = float("inf")

LONGEST = 1e6
"""Seconds that are waited in one go: poll(2) takes milliseconds that fit an int."""


class DeadlineError(Exception):
    """The deadline of a request passed.  Never leaves the package."""


class Connection:
    """A connection that said hello.

    Args:
        sock: The socket, owned from now on.
        about: Says what is said of the store in errors: its pid and log.
        signs: Says how often the store was started: it goes on after a death, and gets its time again; and how much it
            has moved to disk: a put may wait for that as long as it moves.
        spin: Waits, for as long as a wake-up takes, until the index shows that a request which changes something was
            carried out; says whether it was.
        withdraw: Writes where the store sees it, without being told, that nobody waits for a request any more.
    """

    def __init__(
        self,
        sock: socket.socket,
        about: Callable[[], str],
        signs: Callable[[], tuple[int, int]],
        spin: Callable[[int], bool],
        withdraw: Callable[[int], None],
    ) -> None:
        self._about = about
        self._signs = signs
        self._spin = spin
        self._withdraw = withdraw
        self.on_idle: Callable[[], None] | None = None
        self._unsent: deque[m.Request] = deque()
        self.reset(sock)

    def reset(self, sock: socket.socket) -> None:
        """Start over on another socket, with new locks.

        After a fork other threads are gone, but the locks that they held are not free.
        """
        self.sock = sock
        self.broken: str | None = None
        self._hang_up = select.poll()
        self._hang_up.register(sock, select.POLLRDHUP)
        self._number = 0
        self._sending = new_lock()
        self._lock = threading.Lock()
        self._turn = threading.Condition(self._lock)
        self._reader: int | None = None  # ident of the thread that reads
        self._answers: dict[int, m.Answer | None] = {}
        self._calls: set[int] = set()
        self._eager = 0
        self._unsent.clear()

    def cut(self) -> None:
        """End it from another thread: whoever waits here finds it gone."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def hold(self) -> None:
        """Keep every other thread out, for the time of a fork."""
        self._sending.acquire()
        self._lock.acquire()

    def let_go(self) -> None:
        """Undo ``hold``, in the parent."""
        self._lock.release()
        self._sending.release()
        self._flush()

    @property
    def is_busy(self) -> bool:
        """Is a call going on, whose socket and memory must not be taken from under it?"""
        return bool(self._calls)

    def begin(self, call: int) -> None:
        """Until ``end``, this is one call: ``close()`` in another thread takes effect after it."""
        self._calls.add(call)

    def end(self, call: int) -> None:
        """A call is over; safe to say again."""
        self._calls.discard(call)
        if self.on_idle is not None:
            self.on_idle()

    def check(self) -> None:
        """Note whether the other end is gone, before something is asked of it."""
        try:
            is_gone = self._hang_up.poll(0)
        except RuntimeError:
            return  # another thread is looking, and the object is for one at a time
        if self.broken is None and is_gone:
            self._break("has ended, or has ended this connection")

    # --- requests ----------------------------------------------------------------------------------------------

    def request(
        self, kind: type, *fields: object, deadline: float | None = None, ticket: list[int] | None = None
    ) -> Any:
        """Ask, and wait for the answer.

        Args:
            kind: Class of the message.
            fields: Its fields behind ``number``.
            deadline: When to stop waiting, in seconds of ``time.monotonic``; ``FOREVER`` for a request that may take
                any time.  ``None``: the store has ten seconds.
            ticket: Gets the request's number appended as soon as it is drawn, for ``cancel``.

        Returns:
            The answer.

        Raises:
            ShmError: The store refused; the class follows from the reason.
            DeadlineError: The deadline passed.
            StoreConnectionError: The connection is gone.
            StoreUnresponsiveError: The store lives and does not answer.

        Whatever is raised out of the wait (a KeyboardInterrupt too), the store is told that nobody waits any more.
        """
        numbers = [] if ticket is None else ticket
        while True:
            try:
                self.ask(kind, *fields, ticket=numbers)
                if kind in CHANGES and self._reader is None and self._spin(numbers[-1]):
                    self._eager = EAGER
                answer = self.answer(numbers[-1], deadline)
            except BaseException:
                if numbers:
                    self.cancel(numbers[-1])
                raise
            if type(answer) is not m.Refused:
                return answer
            if answer.reason != "again":
                raise error_from(answer.reason, answer.text, **_figures(answer))

    def ask(self, kind: type, *fields: object, ticket: list[int]) -> None:
        """Ask, and do not wait for the answer.

        Args:
            kind: Class of the message.
            fields: Its fields behind ``number``.
            ticket: Gets the request's number appended before it is sent, for ``answer`` or ``cancel``.

        Raises:
            StoreConnectionError: The connection is gone.
        """
        with self._sending:
            if self.broken:
                raise StoreConnectionError(self.broken)
            number = self._number + 1
            # In this order: an interrupt in between cancels a number that was not sent, which harms nobody.
            ticket.append(number)
            self._number = number
            self._answers[number] = None
            try:
                packets.send(self.sock, wire.encode(kind(number, *fields)))
            except OSError as error:
                raise StoreConnectionError(self._break(f"is gone ({error.strerror})")) from error
            except ValueError as error:
                del self._answers[number]
                raise ProtocolError(f"{kind.__name__} is too long for one packet: {error}") from error
        if self._unsent:
            self._flush()

    def awaits(self, number: int) -> bool:
        """Was this asked, and neither cancelled nor answered to anybody?"""
        return number in self._answers

    def answer(self, number: int, deadline: float | None = None) -> m.Answer:
        """Wait for the answer to a request, once; also a refusal.

        Args:
            number: Of the request.
            deadline: As for ``request``.

        Raises:
            DeadlineError, StoreConnectionError, StoreUnresponsiveError: As ``request``.
        """
        tries = 0
        while True:
            starts, moved = self._signs()
            try:
                return self._await_until(
                    number, time.monotonic() + PATIENCE if deadline is None else deadline, deadline
                )
            except StoreUnresponsiveError:
                now = self._signs()
                if moved == now[1]:
                    tries += 1
                    if tries == TRIES or starts == now[0]:
                        raise

    def cancel(self, number: int) -> None:
        """Nobody waits for this request any more: the store does not begin with it, or undoes what nobody can know of."""
        self._withdraw(number)
        self._answers.pop(number, None)
        self.tell(m.Cancel(number))

    def tell(self, message: m.Request) -> None:
        """Send a one-way message, without waiting: now, or as soon as there is room.

        Safe at any time in any thread, also inside a garbage collection that began while this very thread was
        sending: whoever has the lock sends what is left here after unlocking.
        """
        self._unsent.append(message)
        self._flush()

    def _flush(self) -> None:
        try:
            self._send_unsent()
        except BaseException:
            self._send_unsent()  # an interrupt leaves nothing for the next call: there may be none for long
            raise

    def _send_unsent(self) -> None:
        """Send one-way messages for as long as there is room.  Sent twice, they do no harm."""
        lock = self._sending
        if is_mine(lock):
            return
        try:
            while self._unsent and lock.acquire(blocking=False):
                if self.broken is None and not packets.send(self.sock, wire.encode(self._unsent[0]), wait=False):
                    lock.release()
                    self._flush_later()
                    return
                self._unsent.popleft()
                lock.release()
        except OSError:
            self._unsent.clear()  # the store is gone, and what it was to be told with it
        finally:
            if is_mine(lock):
                lock.release()

    def _flush_later(self) -> None:
        timer = threading.Timer(RETRY, self._flush)
        timer.daemon = True
        timer.start()

    # --- answers -----------------------------------------------------------------------------------------------

    def _await_until(self, number: int, limit: float, deadline: float | None) -> m.Answer:
        while True:
            me = threading.get_ident()
            try:
                with self._lock:
                    answer = self._wait_turn(number, limit, deadline, me)
                    if answer is not None:
                        return answer
                    self._reader = me
                self._read(limit, deadline)
            finally:
                with self._lock:
                    if self._reader == me:
                        self._reader = None
                        self._turn.notify_all()

    def _wait_turn(self, number: int, limit: float, deadline: float | None, me: int) -> m.Answer | None:
        """Wait until the answer is here, or nobody reads.  The lock is held."""
        while True:
            answer = self._answers[number]
            if answer is not None:
                del self._answers[number]
                return answer
            if self.broken:
                raise StoreConnectionError(self.broken)
            # A reader that is this very thread is left over from an interrupt that hit before it could sign off.
            if self._reader is None or self._reader == me:
                return None
            if not self._turn.wait(_seconds(limit)) and time.monotonic() >= limit:
                raise self._late(deadline)

    def _read(self, limit: float, deadline: float | None) -> None:
        """Take one packet and hand it to whom it is for."""
        if deadline is not None and deadline != FOREVER:
            poll = select.poll()
            poll.register(self.sock, select.POLLIN)
            if not poll.poll(min(max(0.0, limit - time.monotonic()), LONGEST) * 1000):
                if time.monotonic() >= limit:
                    raise DeadlineError
                return
        # Peeked first and taken out when it was handed over: an interrupt in between loses no answer, for the next
        # reader finds it again, and a number that nobody waits for is passed over.
        packet = None
        while packet is None and self._eager > 0:
            self._eager -= 1
            packet = packets.receive(self.sock, wait=False, peek=True)
        self._eager = 0
        packet = packet or packets.receive(self.sock, peek=True)
        if packet is None:
            if time.monotonic() >= limit:
                raise self._late(deadline)
            return
        if packet == packets.END:
            self._break("has ended, or has ended this connection")
            return
        self._deliver(packet)
        packets.discard(self.sock)

    def _deliver(self, packet: packets.Packet) -> None:
        packets.close_all(packet.descriptors)
        if packet.data.startswith(wire.MAGIC):
            return  # welcomed twice: the store died before it had noted that it had welcomed us
        try:
            answer = wire.decode_answer(packet.data)
        except ProtocolError as error:
            self._break(f"sent something that is no answer: {error}")
            return
        number = answer.number if not isinstance(answer, m.Welcome) else 0
        with self._lock:
            if number in self._answers:
                self._answers[number] = answer

    def _late(self, deadline: float | None) -> BaseException:
        if deadline is not None:
            return DeadlineError()
        return StoreUnresponsiveError(
            f"{self._about()} has not answered for {PATIENCE:.0f} s. Published names can still be fetched. If it does "
            "not recover, end it with `jupyter shm stop --force`."
        )

    def _break(self, text: str) -> str:
        self.broken = f"{self._about()} {text}. Views that exist stay valid; the next call connects to a store anew."
        return self.broken


def _figures(refused: m.Refused) -> dict[str, object]:
    """What a refusal tells besides its text, as attributes of the exception."""
    told = refused.figures
    if told is None:
        return {}
    holders = tuple((one.label, one.published, one.read) for one in told.holders)
    available = None if told.available < 0 else told.available
    return {**msgspec.structs.asdict(told), "available": available, "holders": holders}


def _seconds(limit: float) -> float | None:
    return None if limit == FOREVER else min(max(0.0, limit - time.monotonic()), LONGEST)


def set_patience(sock: socket.socket) -> None:
    """Let a blocking receive return after ``PATIENCE`` seconds without a packet: cheaper than a poll before each."""
    packets.set_receive_timeout(sock, PATIENCE)


def greet(sock: socket.socket, hello: m.Hello) -> tuple[m.Welcome, tuple[int, ...]]:
    """Say hello on a new socket.

    Returns:
        The store's welcome, and the descriptors that came with it, owned by the caller.

    Raises:
        ShmError: The store refused.
        StoreEndingError: It is about to end, or binds its socket again: worth another try.
        WireVersionError: It speaks another wire version.
        StoreUnresponsiveError: It did not answer.
    """
    try:
        packets.send(sock, wire.encode_opening(hello))
        packet = packets.receive(sock)
    except OSError as error:
        raise StoreEndingError(f"the store closed the connection: {error.strerror}") from error
    if packet is None:
        pid = packets.peer_credentials(sock).pid
        raise StoreUnresponsiveError(
            f"the store (pid {pid}) accepted the connection but has not answered for {PATIENCE:.0f} s. End it with "
            "`jupyter shm stop --force`."
        )
    try:
        if packet == packets.END:
            raise StoreEndingError("the store closed the connection before it answered")
        if packet.truncated:
            raise StoreConnectionError(
                "the store's descriptors did not fit: this process has too many files open (ulimit -n). Close some."
            )
        answer = wire.decode_welcome(packet.data)
        if isinstance(answer, m.Refused):
            raise error_from(answer.reason, answer.text)
        if not isinstance(answer, m.Welcome) or len(packet.descriptors) not in (4, 5):
            raise ProtocolError(f"the store answered hello with {type(answer).__name__}")
    except (ShmError, OSError):
        packets.close_all(packet.descriptors)
        raise
    return answer, packet.descriptors
