"""Numbered steps at which a test can end the store, or make it stand still.  Without a setting nothing of this is used.

``JUPYTER_SHM_TEST_CRASH`` names a file of orders, one a line: ``event step signal``.  An event is the name of a
message (``Commit``), or ``settle``, ``hang-up``, ``attend`` (a child of the store has told something), ``restart``.  Step 0 is
before anything was done for it, step n is before its n-th action; taking the packet out of the queue is an action, too,
and the last step is after all.  An order that was carried out is taken out of the file.
"""

from __future__ import annotations

import functools
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .daemon import Daemon

if TYPE_CHECKING:
    from ..protocol import messages as m
    from . import actions as a
    from .peers import Peer

SETTING = "JUPYTER_SHM_TEST_CRASH"


class CrashPoints:
    """Where this process is, and where it is to end.

    Args:
        path: The file of orders; read when an event begins.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._event = ""
        self._step = 0
        self._orders: list[list[str]] = []

    def begin(self, event: str) -> None:
        """An event begins; this is its step 0."""
        self._event, self._step = event, 0
        try:
            self._orders = [line.split() for line in self._path.read_text().splitlines()]
        except FileNotFoundError:
            self._orders = []
        self._look()

    def step(self) -> None:
        """The next step."""
        self._step += 1
        self._look()

    def _look(self) -> None:
        for order in self._orders:
            event, step, number = order
            if (event, int(step)) == (self._event, self._step):
                self._orders.remove(order)
                self._path.write_text("".join(f"{' '.join(other)}\n" for other in self._orders))
                os.kill(os.getpid(), signal.Signals[number])
                return


class CrashingDaemon(Daemon):
    """A daemon that can be told to die at a step."""

    points: CrashPoints

    def __init__(self, *parts: Any) -> None:
        self.points = points_of_test() or CrashPoints(Path(os.devnull))
        super().__init__(*parts)
        self._do = {kind: self._stepping(do) for kind, do in self._do.items()}

    def recover(self, has_crashed: bool) -> None:
        """As the daemon's; its actions are steps of the restart."""
        super().recover(has_crashed)
        self.points.step()

    def _stepping(self, do: Any) -> Any:
        def step_and_do(action: a.Action) -> None:
            self.points.step()
            do(action)

        return step_and_do

    def _attend(self, actions: list[a.Action]) -> None:
        self.points.begin("attend")
        super()._attend(actions)
        self.points.step()

    def _guard(self, peer: Peer, message: m.Request, decide: Any) -> list[a.Action]:
        self.points.begin(type(message).__name__)
        return super()._guard(peer, message, decide)

    def _consume(self, peer: Peer) -> None:
        self.points.step()
        super()._consume(peer)
        self.points.step()

    def _free(self) -> None:
        self.points.begin("settle")
        super()._free()
        self.points.step()

    def _hang_up(self, peer: Peer) -> None:
        self.points.begin("hang-up")
        super()._hang_up(peer)
        self.points.step()


@functools.cache
def points_of_test() -> CrashPoints | None:
    """The crash points that a test has asked for, if one has."""
    return CrashPoints(Path(os.environ[SETTING])) if SETTING in os.environ else None
