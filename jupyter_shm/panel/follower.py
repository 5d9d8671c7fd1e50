"""A store followed in a thread: looked at when it has told of a change, and then not too often.

It never starts a store.  While nothing changes it sleeps in the kernel, and nothing of it runs.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..client.events import Event
from ..client.following import follow, store_name
from ..client.store import Store
from ..client.watching import Watch
from ..errors import ShmError
from .feed import State, fault_state, state_of

log = logging.getLogger("jupyter_shm")

PAUSE = 0.25
"""Seconds between two looks."""

MOST_OF_THE_TIME = 10
"""Looking takes at most one part in so many of the time: it grows with the number of objects."""

SETTLING = 1.0
"""Seconds after the last change until a look more: who reads an object, and that one is gone, is told by no event."""

MEMORY = 600.0
"""Seconds for which events are kept, as the store keeps them."""

MOST_EVENTS = 10_000


class Follower:
    """Tells what a store is like, whenever that has changed.

    Args:
        name: Name of the store; ``None`` for the default one.
        tell: Called with each ``State``, in the follower's thread; the first one comes at once.  What it raises is
            logged, and ends nothing.
        pause: Seconds between two states at least.

    Attributes:
        name: Name of the store.

    It has a thread and a watch between ``start`` and ``close``, and may be started again after that.
    """

    def __init__(self, name: str | None, tell: Callable[[State], Any], *, pause: float = PAUSE) -> None:
        self.name = store_name(name)
        self._tell = tell
        self._pause = pause
        self._lock = threading.Lock()
        self._following: _Following | None = None
        self._revision = 0

    def start(self) -> None:
        """Follow the store from now on; nothing happens if that is so already."""
        with self._lock:
            if self._following is None:
                self._following = _Following(self.name, self._told, self._pause)
                self._following.start()

    def refresh(self) -> None:
        """Look now, though nothing was told."""
        with self._lock:
            if self._following is not None:
                self._following.wake()

    def close(self) -> None:
        """Tell nothing any more, and let go of everything; waits for a look that has begun.  Safe to call again."""
        with self._lock:
            following, self._following = self._following, None
        if following is not None:
            following.end()

    @property
    def is_running(self) -> bool:
        """Between ``start`` and ``close``."""
        return self._following is not None

    def _told(self, look: Callable[[int], State]) -> None:
        self._revision += 1
        try:
            self._tell(look(self._revision))
        except Exception:
            log.exception("what follows the store %r has failed", self.name)


class _Following:
    """One thread, from ``start`` to ``end``."""

    def __init__(self, name: str, told: Callable[[Callable[[int], State]], None], pause: float) -> None:
        self._told = told
        self._pause = pause
        self._look = Look(name)
        self._changed = threading.Condition()
        self._is_woken = True  # the first look is made unasked
        self._is_over = False
        self._watch: Watch | None = None
        self._thread = threading.Thread(target=self._run, name=f"jupyter_shm follow {name}", daemon=True)

    def start(self) -> None:
        self._watch = follow(self._look.name, self.wake)
        self._thread.start()

    def wake(self) -> None:
        with self._changed:
            self._is_woken = True
            self._changed.notify()

    def end(self) -> None:
        if self._watch is not None:
            self._watch.close()
        with self._changed:
            self._is_over = True
            self._changed.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        while self._wait(None):
            self._once()
            while self._wait(SETTLING):
                self._once()
            if self._is_over:
                return
            self._once()

    def _once(self) -> None:
        self._is_woken = False  # before the look: what is told during it may be missing there
        began = time.monotonic()
        self._told(self._look)
        took = time.monotonic() - began
        with self._changed:
            self._changed.wait_for(lambda: self._is_over, max(self._pause, (MOST_OF_THE_TIME - 1) * took))

    def _wait(self, seconds: float | None) -> bool:
        """Wait to be woken; False if that did not happen in time, or if all is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_woken or self._is_over, seconds)
            return self._is_woken and not self._is_over


class Look:
    """Looks at a store, and remembers what it has seen of the past.

    Args:
        name: Name of the store.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._events: list[Event] = []
        self._incarnation = 0

    def __call__(self, revision: int) -> State:
        """Look at everything.

        Args:
            revision: Of the state that is returned.
        """
        try:
            # For this look only: who is connected keeps a store from ending, and from being stopped.
            with Store(self.name, start=False) as store:
                incarnation = store.session.welcome.store
                events = self._past(store, incarnation)
                # Events first: what happens in between is seen in the list, and comes as an event the next time.
                infos, stats = store.list(anonymous=True), store.stats()
            stats = replace(stats, clients=stats.clients - 1)  # this look is none of those who use it
            return state_of(self.name, incarnation, revision, time.time(), stats, infos, events)
        except FileNotFoundError:
            fault = f"The store {self.name!r} is not running. The first shm.put or %load_ext jupyter_shm starts it."
        except (ShmError, OSError) as error:
            fault = str(error)
        return fault_state(self.name, revision, time.time(), fault)

    def _past(self, store: Store, incarnation: int) -> list[Event]:
        if incarnation != self._incarnation:
            self._incarnation, self._events = incarnation, []
        known = self._events[-1].sequence if self._events else None
        self._events += store.events(known)
        oldest = time.time() - MEMORY
        self._events = [event for event in self._events[-MOST_EVENTS:] if event.time > oldest]
        return self._events
