"""Between the loop and the spiller: what the core wants spilled goes out, what came of it comes back.  It never waits."""

from __future__ import annotations

import os
import select
import time

from ..tables.index import IndexWriter
from ..tables.layout import WORD_PROGRESS
from . import spiller
from .actions import Action, PunchSpill, Spill
from .core import Core
from .spiller import Order, Spiller, Told


class Overflow:
    """The spiller's place in the loop.

    Args:
        heap: Read-only descriptor of the heap; stays the caller's.
        spill: Writable descriptor of the spill heap, -1 if there is none; stays the caller's.
        index: Where clients see that it goes on.
        core: Who wants it, and is told.
        epoll: The loop's.
    """

    def __init__(self, heap: int, spill: int, index: IndexWriter, core: Core, epoll: select.epoll) -> None:
        self._index = index
        self._core = core
        self._epoll = epoll
        self._spiller = Spiller(heap, spill)
        self._registered = (-1, 0)  # descriptor and process: the next one may have the same number
        self._before = 0  # bytes that the copy under way had moved when it was told of last
        if spill >= 0:
            self._tidy(os.fstat(spill))

    def _tidy(self, file: os.stat_result) -> None:
        """Give back what a store that died has left in space that nobody has."""
        space = self._core.ledger.spill
        if file.st_blocks * 512 <= space.used:
            return
        for offset, nbytes in space.free_ranges():
            if offset < file.st_size:
                self._ask(Order(spiller.PUNCH, offset, min(nbytes, file.st_size - offset)))

    @property
    def fd(self) -> int:
        """Ready when ``hear`` has something to do; -1 while no spiller runs."""
        return self._registered[0]

    def spill(self, action: Spill) -> list[Action]:
        """Have the spiller begin; what is to be done if there is none."""
        is_asked = self._ask(Order(spiller.COPY, action.offset, action.nbytes, action.source, action.spilled))
        return [] if is_asked else self._give_up("no process can be started for it")

    def punch(self, action: PunchSpill) -> None:
        """Have a part of the spill heap given back.  Where there is no spiller, its disk is free when the store ends."""
        self._ask(Order(spiller.PUNCH, action.offset, action.nbytes))

    def hear(self) -> list[Action]:
        """The spiller has told something, or has died."""
        actions = [action for told in self._spiller.hear() for action in self._told(told)]
        self._watch()
        return actions

    def close(self) -> None:
        """End the spiller, and wait for it."""
        self._spiller.stop()

    def _ask(self, order: Order) -> bool:
        is_asked = self._spiller.ask(order)
        self._watch()
        return is_asked

    def _watch(self) -> None:
        current = (self._spiller.fd, self._spiller.pid)
        if current != self._registered:
            self._registered = current
            if self.fd >= 0:
                self._epoll.register(self.fd, select.EPOLLIN)

    def _told(self, told: Told) -> list[Action]:
        if told.order.kind != spiller.COPY:
            return []
        self._index.words[WORD_PROGRESS] += max(0, told.moved - self._before)
        if told.kind == spiller.MOVED:
            self._before = told.moved
            return self._core.spilled(told.moved, "", told.limit, time.monotonic())
        self._before = 0
        if self._spiller.has_ended:
            return self._give_up(told.error)
        return self._core.spilled(-1, told.error, told.limit, time.monotonic())

    def _give_up(self, error: str) -> list[Action]:
        if self._spiller.has_ended:
            self._core.ledger.spill.reason = f"{spiller.STARTS} processes that were to do it have died"
        return self._core.spilled(-1, error, 0, time.monotonic())
