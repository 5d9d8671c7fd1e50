"""The children of the store in its loop: the warmer and the spiller.  Which of them an action is for is known here."""

from __future__ import annotations

import select
from collections.abc import Callable

from .actions import Action, PunchSpill, Spill, Warm
from .core import Core
from .heating import Heating
from .overflow import Overflow
from .regions import Regions

Perform = Callable[[list[Action]], None]
"""Carries actions out."""


class Attendants:
    """Both of them.

    Args:
        regions: The memory; stays the caller's.
        core: Who wants something done, and is told what came of it.
        epoll: The loop's.
        perform: Carries out what it wants done if that cannot even be begun.
    """

    def __init__(self, regions: Regions, core: Core, epoll: select.epoll, perform: Perform) -> None:
        self._heating = Heating(regions.heap_read_only, core, epoll)
        self._overflow = Overflow(regions.heap_read_only, regions.spill, regions.index, core, epoll)
        self.does: dict[type, Callable[..., None]] = {
            Warm: lambda do: perform(self._heating.warm(do)),
            Spill: lambda do: perform(self._overflow.spill(do)),
            PunchSpill: self._overflow.punch,
        }
        """How each action that is for one of them is carried out, by its class."""

    def hear(self, fd: int) -> list[Action] | None:
        """Something may have been told: what is to be done; ``None`` if this descriptor is nobody's here."""
        for one in (self._heating, self._overflow):
            if fd == one.fd:
                return one.hear()
        return None

    def close(self) -> None:
        """End them, and wait for it."""
        self._heating.close()
        self._overflow.close()
