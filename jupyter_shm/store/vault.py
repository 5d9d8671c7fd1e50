"""What the store has lodged with its keeper: one dictionary here, made the same there.  Nothing here waits.

The keeper may die too.  Then the store starts another one and tells it everything; so this side knows at any time
what ought to be kept, and tells what the keeper does not know yet as soon as there is room.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from ..errors import ShmError
from ..linux import packets
from .lodging import Ended, Here, Keep, LetGo, Lodged, Serving, decode, encode

log = logging.getLogger("jupyter_shm.store")

RETRY = 0.1
"""Seconds until the keeper is told again what could not be sent for another reason than lack of room."""

FIRST_DELAY = 0.5
LAST_DELAY = 60.0
"""Seconds between the starts of two keepers of which the first has not said a word."""


class Vault:
    """The store's end of the channel to its keeper.

    Args:
        channel: To the keeper; owned from now on.
        lodged: What the keeper keeps already.  The descriptors belong to whoever uses them here.
        renew: Starts another keeper and gives the channel to it, or raises OSError.

    Attributes:
        keeper: Process id of the keeper; 0 until it has told, and while there is none.
        next_renewal: When to start another one at the earliest, in seconds of the monotonic clock; infinite while
            there is one.
    """

    def __init__(self, channel: socket.socket, lodged: dict[str, Lodged], renew: Callable[[], socket.socket]) -> None:
        self._channel: socket.socket | None = channel
        self._lodged = lodged
        self._renew = renew
        self._untold: dict[str, None] = {}  # keys, in the order in which they changed
        self._is_serving = False
        self._has_said_serving = False
        self.keeper = 0
        self.next_renewal = math.inf
        self._delay = 0.0
        self._retry = math.inf
        self._last_error: int | None = None
        self._say(Here(os.getpid()))

    def __contains__(self, key: str) -> bool:
        return key in self._lodged

    def __getitem__(self, key: str) -> Lodged:
        return self._lodged[key]

    def of(self, kind: str) -> list[tuple[str, Lodged]]:
        """Everything whose key begins with ``kind/``."""
        return [(key, lodged) for key, lodged in self._lodged.items() if key.startswith(f"{kind}/")]

    @property
    def is_settled(self) -> bool:
        """Is there a keeper, and does it know everything?"""
        return self._channel is not None and not self.is_behind

    @property
    def is_lost(self) -> bool:
        """Has the keeper died?"""
        return self._channel is None

    @property
    def is_behind(self) -> bool:
        """Is there something that the keeper had no room for yet?"""
        is_unsaid = self._is_serving and not self._has_said_serving
        return self._channel is not None and (bool(self._untold) or is_unsaid)

    @property
    def waits_for_room(self) -> bool:
        """Is it behind for lack of room, which the loop can tell?"""
        return self.is_behind and self._retry == math.inf

    @property
    def next_try(self) -> float:
        """When to start another keeper, or to ``flush``, at the earliest; in seconds of the monotonic clock."""
        return min(self.next_renewal, self._retry)

    def fileno(self) -> int:
        """Of the channel: ready when the keeper says something, or dies.  -1 while there is none."""
        return -1 if self._channel is None else self._channel.fileno()

    # --- what is kept ------------------------------------------------------------------------------------------

    def keep(self, key: str, note: bytes = b"", descriptors: tuple[int, ...] = ()) -> None:
        """Have this kept, in the place of what was kept under the key.  The descriptors stay the caller's."""
        self._lodged[key] = Lodged(note, descriptors)
        self._tell(key)

    def let_go(self, key: str) -> None:
        """Have this kept no longer.  Call it before the descriptors are closed."""
        if self._lodged.pop(key, None) is not None:
            self._tell(key)

    def flush(self) -> None:
        """Tell the keeper what it does not know yet, as far as there is room."""
        self._retry = math.inf
        while self._untold and self._channel is not None:
            key = next(iter(self._untold))
            lodged = self._lodged.get(key)
            word = LetGo(key) if lodged is None else Keep(key, lodged.note)
            if not self._say(word, () if lodged is None else lodged.descriptors):
                return
            self._untold.pop(key, None)
        if self._is_serving and not self._has_said_serving:
            self._has_said_serving = self._say(Serving())

    def _tell(self, key: str) -> None:
        self._untold.pop(key, None)
        self._untold[key] = None
        self.flush()

    # --- the keeper --------------------------------------------------------------------------------------------

    def say_serving(self) -> None:
        """The store has started, and the keeper knows everything, or will before it is told this."""
        self._is_serving = True
        self.flush()

    def say_ended(self, reason: str) -> None:
        """The store ends in order, and the keeper with it."""
        self.flush()
        self._say(Ended(reason))

    def listen(self) -> None:
        """Take what the keeper says, or notice its end."""
        while self._channel is not None:
            packet = packets.receive(self._channel, wait=False)
            if packet is None:
                return
            packets.close_all(packet.descriptors)
            if packet == packets.END:
                self._lose()
                return
            with suppress(msgspec.DecodeError):
                word = decode(packet.data)
                if isinstance(word, Here):
                    self.keeper, self._delay = word.pid, 0.0

    def renew(self, now: float) -> bool:
        """Start another keeper, if it is time for it, and have it keep everything.

        One that dies at once is not started again at once: the delay doubles until one has spoken.

        Args:
            now: Seconds of the monotonic clock.

        Returns:
            Is there a keeper?
        """
        if now < self.next_renewal < math.inf:
            return False
        self._delay = min(2 * self._delay, LAST_DELAY) or FIRST_DELAY
        try:
            self._channel = self._renew()
        except (OSError, ShmError) as error:
            log.warning("no keeper can be started: %s. If the store dies now, what it holds is lost", error)
            self.next_renewal = now + self._delay
            return False
        self.next_renewal = math.inf
        self._untold = dict.fromkeys(self._lodged)
        self._has_said_serving = False
        self._say(Here(os.getpid()))
        self.flush()
        return True

    def close(self) -> None:
        """Let go of the channel."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _say(self, word: Here | Keep | LetGo | Serving | Ended, descriptors: tuple[int, ...] = ()) -> bool:
        """Send; False when there is no room, or no keeper."""
        if self._channel is None:
            return False
        try:
            return packets.send(self._channel, encode(word), descriptors, wait=False)
        except ConnectionError:
            self._lose()
        except OSError as error:
            # Too many descriptors in flight: the keeper has not taken the last ones yet.  Nobody tells when it has.
            self._retry = time.monotonic() + RETRY
            if error.errno != self._last_error:
                log.warning("the keeper cannot be told now: %s", error)
            self._last_error = error.errno
        return False

    def _lose(self) -> None:
        log.warning("the keeper (pid %d) has died; starting another one", self.keeper)
        self.keeper = 0
        self.next_renewal = time.monotonic() + self._delay if self._delay else 0.0
        self.close()
