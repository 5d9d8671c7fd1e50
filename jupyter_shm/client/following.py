"""A watch that needs no store: it is told of changes, of the end of a store, and of one that comes later.

A face that shows a store for days must neither start it nor keep it running: who only watches does not count there.
"""

from __future__ import annotations

from collections.abc import Callable

from ..linux.requirement import require_linux
from ..linux.runtime import store_name, store_paths
from ..protocol import messages as m
from .watching import Watch, Watcher

__all__ = ["follow", "store_name"]


def follow(name: str | None, changed: Callable[[], object]) -> Watch:
    """Be told that something has happened in a store; it need not run, and is not started.

    Args:
        name: Name of the store; ``None`` for the default one.
        changed: Called without arguments in a background thread: for each event, and when a store has come, or has
            ended.  It must be quick, and is to look for itself.

    Returns:
        A handle; ``close()`` it, or the thread goes on.

    Raises:
        SettingError, PeerRefusedError: There is no runtime folder in which a store could be.
        UnsupportedPlatformError: No store can run here.
    """
    require_linux()
    name = store_name(name)
    watcher = Watcher(name, store_paths(name), m.MAX_COUNT, presence=lambda _is_there: changed())
    watch = watcher.add(lambda _event: changed(), None, 0)
    assert watch is not None  # a new watcher is not over
    watcher.start()
    return watch
