"""Between the loop and the warmer: what the core wants warmed goes out, what came of it comes back.  It never waits."""

from __future__ import annotations

import select

from ..linux.limits import machine_memory
from .actions import Action, Warm
from .core import Core
from .warmer import Warmer

MARGIN = 10
"""One part in so many of the machine's memory stays available, whatever is warmed."""


class Heating:
    """The warmer's place in the loop.

    Args:
        heap: Read-only descriptor of the heap; stays the caller's.
        core: Who wants it, and is told.
        epoll: The loop's.
    """

    def __init__(self, heap: int, core: Core, epoll: select.epoll) -> None:
        self._core = core
        self._epoll = epoll
        self._warmer = Warmer(heap)
        self._registered = -1
        self._margin = machine_memory() // MARGIN

    @property
    def fd(self) -> int:
        """Ready when ``hear`` has something to do; -1 while no warmer runs."""
        return self._registered

    def warm(self, action: Warm) -> list[Action]:
        """Have the warmer begin; what is to be done if there is none."""
        is_asked = self._warmer.ask(action.offset, action.nbytes, self._margin)
        if self._warmer.fd not in (self._registered, -1):
            self._registered = self._warmer.fd
            self._epoll.register(self._registered, select.EPOLLIN)
        return [] if is_asked else self._core.warmed(0, 0)

    def hear(self) -> list[Action]:
        """The warmer has told something, or has died."""
        actions = [action for done in self._warmer.hear() for action in self._core.warmed(done.huge, done.present)]
        if self._warmer.fd < 0:
            self._registered = -1
        return actions

    def close(self) -> None:
        """End the warmer, and wait for it."""
        self._warmer.stop()
