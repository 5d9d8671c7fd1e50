"""When a store that died is started again, and when it is given up.  No I/O here.

A store that served is started again for ever; one that dies before it serves, again and again, is not.  The delay is
for a store that dies at once each time: it must not take a whole processor.
"""

from __future__ import annotations

SHORT = 0.05
"""Seconds of serving below which a life counts as short, and the next one begins after a delay."""

FIRST_DELAY = 0.01
LAST_DELAY = 0.2
"""Seconds before a start that follows upon a short life; doubled from the first to the last."""

FREE = 2
"""Short lives in a row that cost no delay: one SIGKILL too many is nobody's fault."""

GIVE_UP = 12
"""Deaths before serving, one after the other, after which there is no use in another start."""

LAST_UNBORN_DELAY = 2.0
"""Seconds: as ``LAST_DELAY``, for stores that never serve.  Giving up costs everything, so it takes some seconds."""


class Restarts:
    """The keeper's memory of earlier deaths."""

    def __init__(self) -> None:
        self._short = 0
        self._unborn = 0

    def after(self, served: float | None) -> float | None:
        """A store has died.

        Args:
            served: Seconds that it served; ``None`` when it never did.

        Returns:
            Seconds to wait before the next start; ``None``: give up.
        """
        self._unborn = 0 if served is not None else self._unborn + 1
        if self._unborn >= GIVE_UP:
            return None
        if served is not None and served >= SHORT:
            self._short = 0
            return 0.0
        self._short += 1
        doublings = self._short - FREE - 1
        longest = LAST_DELAY if self._unborn == 0 else LAST_UNBORN_DELAY
        return 0.0 if doublings < 0 else min(FIRST_DELAY * 2.0 ** min(doublings, 10), longest)
