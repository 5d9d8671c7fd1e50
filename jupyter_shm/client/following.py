"""A watch that needs no store: it is told of changes, of the end of a store, and of one that comes later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..linux.runtime import StorePaths, store_name, store_paths
from .watching import Watch, Watcher

__all__ = ["Follow", "follow", "store_name"]


class Follow(Watcher):
    """A watcher that also calls when its connection has ended.

    Args:
        name: Name of the store.
        paths: Its files.
        changed: Called when something has happened, or the store is gone; in the background thread.
    """

    def __init__(self, name: str, paths: StorePaths, changed: Callable[[], Any]) -> None:
        super().__init__(name, paths, 0)
        self._changed = changed

    def _let_go(self) -> None:
        super()._let_go()
        if not self.is_over:
            self._changed()


def follow(name: str | None, changed: Callable[[], Any]) -> Watch:
    """Be told that something has happened in a store; it need not run, and is not started.

    Args:
        name: Name of the store; ``None`` for the default one.
        changed: Called without arguments in a background thread, once for each event, and when the store has ended.
            It must be quick, and is to look for itself.

    Returns:
        A handle; ``close()`` it, or the thread goes on.
    """
    name = store_name(name)
    watcher = Follow(name, store_paths(name), changed)
    watch = watcher.add(lambda _event: changed(), None, 0)
    assert watch is not None  # a new watcher is not over
    watcher.start()
    return watch
