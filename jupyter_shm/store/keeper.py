"""The keeper: holds every descriptor of the store, and starts the store again when it dies.

It maps nothing, decides nothing of what it keeps, and has one thread.  It runs the store as its child, by a fork: the
next store is there in milliseconds, and runs the code that wrote the memory it finds, whatever has been installed
meanwhile.  A keeper that a store starts, because the first one died, is a process of its own: it keeps first, and
forks when that store dies.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from ..linux import packets
from .lodging import Ended, Here, Keep, LetGo, Lodged, Serving, decode, encode
from .restarts import Restarts

log = logging.getLogger("jupyter_shm.keeper")

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

Body = Callable[[socket.socket, dict[str, Lodged], bool], int]
"""What runs in the forked child: channel to the keeper and what is kept, both owned; whether the store before crashed,
by itself; returns the exit status."""


class Keeper:
    """One keeper, for as long as there is a store.

    Args:
        lodged: What is kept from the beginning; the descriptors are owned.
        body: The store.
    """

    def __init__(self, lodged: dict[str, Lodged], body: Body) -> None:
        self._lodged = lodged
        self._body = body
        self._restarts = Restarts()
        self._pid = 0  # of the store
        self._is_child = False
        self._is_ending = False  # a signal asked for the end
        self._served_since: float | None = None
        self._has_crashed = False  # the last store, and nobody had killed it
        self._has_ended = False  # the store said that it ends in order
        self._is_complete = False  # everything that is to be kept has been said, once
        self._missing: set[str] = set()  # keys of what could not be kept
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def run(self, channel: socket.socket | None = None) -> int:
        """Keep, and start stores, until one ends in order or there is no use in another.

        Args:
            channel: To a store that runs already; owned from now on.

        Returns:
            The exit status.
        """
        for number in SIGNALS:
            signal.signal(number, self._signalled)
        while True:
            try:
                channel = channel or self._start()
            except OSError as error:
                how = f"cannot be started: {error}"
            else:
                with suppress(ConnectionError):  # it is dead already, which is noticed next
                    packets.send(channel, encode(Here(os.getpid())), wait=False)
                self._attend(channel)
                how = self._bury()
            if self._has_ended or self._is_ending:
                return 0
            delay = self._delay(how)
            if delay is None:
                return 1
            if not self._pause(delay):
                return 0
            channel = None

    def _delay(self, how: str) -> float | None:
        served = None if self._served_since is None else time.monotonic() - self._served_since
        # Where one lease table is missing, another store would free bytes that somebody reads.
        can_go_on = self._is_complete and not self._missing
        delay = self._restarts.after(served) if can_go_on else None
        if delay is None:
            log.critical("the store %s; it is not started again, and what it held is lost", how)
        else:
            log.warning("the store %s; starting it again over the same memory", how)
        return delay

    # --- the store ---------------------------------------------------------------------------------------------

    def _start(self) -> socket.socket:
        self._served_since = None
        ours, theirs = packets.pair()
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            raise
        if pid == 0:
            # Never back into the keeper's loop, whatever happens.
            status = 1
            try:
                ours.close()
                os.close(self._wakeup)
                for number in SIGNALS:
                    signal.signal(number, signal.SIG_DFL)
                status = self._body(theirs, self._lodged, self._has_crashed)
            except BaseException:
                log.exception("the store ends by an error of its own")
            finally:
                os._exit(status)
        theirs.close()
        self._pid, self._is_child = pid, True
        return ours

    def _attend(self, channel: socket.socket) -> None:
        """Keep what the store says, until the end of its process closes the channel.

        A process lets go of its memory before its descriptors: whoever sees the end of the channel can be sure that
        nothing of it writes any more.
        """
        poll = select.poll()
        poll.register(channel, select.POLLIN)
        poll.register(self._wakeup, select.POLLIN)
        with channel:
            while True:
                for fd, _ in poll.poll():
                    if fd == self._wakeup:
                        os.eventfd_read(self._wakeup)
                        self._pass_on()
                    elif not self._listen(channel):
                        return

    def _listen(self, channel: socket.socket) -> bool:
        """Take everything that has come; False at the end."""
        while True:
            packet = packets.receive(channel, wait=False)
            if packet is None:
                return True
            if packet == packets.END:
                return False
            try:
                self._take(packet)
            except msgspec.DecodeError:
                log.exception("the store said something that is no word of this release")
                packets.close_all(packet.descriptors)

    def _take(self, packet: packets.Packet) -> None:
        word = decode(packet.data)
        if isinstance(word, Keep):
            if packet.truncated and word.key.startswith("client/") and word.key in self._lodged:
                # Only its note has changed; its descriptors are those that are here.
                self._lodged[word.key] = self._lodged[word.key]._replace(note=word.note)
                return
            if packet.truncated:
                log.error("%s cannot be kept: no descriptor is left. If the store dies now, all is lost", word.key)
                self._missing.add(word.key)
                return
            self._let_go(word.key)
            self._lodged[word.key] = Lodged(word.note, packet.descriptors)
        elif isinstance(word, LetGo):
            self._let_go(word.key)
        elif isinstance(word, Here):
            self._pid = word.pid
        elif isinstance(word, Serving):
            self._served_since, self._is_complete = time.monotonic(), True
        else:
            assert isinstance(word, Ended)
            self._has_ended = True

    def _let_go(self, key: str) -> None:
        self._missing.discard(key)
        packets.close_all(self._lodged.pop(key, Lodged(b"", ())).descriptors)

    def _bury(self) -> str:
        """How the store ended, for people."""
        pid, self._pid = self._pid, 0
        self._has_crashed = False
        if not self._is_child:
            return f"(pid {pid}) has ended"
        self._is_child = False
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self._has_crashed = code != -signal.SIGKILL
        return f"(pid {pid}) was ended by signal {-code}" if code < 0 else f"(pid {pid}) ended with status {code}"

    # --- signals -----------------------------------------------------------------------------------------------

    def _signalled(self, _number: int, _frame: object) -> None:
        self._is_ending = True
        os.eventfd_write(self._wakeup, 1)

    def _pass_on(self) -> None:
        """Who ends the keeper means the store."""
        if self._pid:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGTERM)

    def _pause(self, seconds: float) -> bool:
        """Wait; False when a signal asked for the end meanwhile."""
        poll = select.poll()
        poll.register(self._wakeup, select.POLLIN)
        return not poll.poll(seconds * 1000)
