"""Taking many names away at once: which ones a person means by a pattern, and what is said of it in one line."""

from __future__ import annotations

import contextlib
import fnmatch
from typing import TYPE_CHECKING

from ..errors import ObjectNotFoundError

if TYPE_CHECKING:
    from .store import Store

SHOWN = 10
"""Names that one line tells; more only by their number."""


def is_pattern(word: str) -> bool:
    """Would a shell take this for a pattern?"""
    return any(sign in word for sign in "*?[")


def remove_matching(store: Store, pattern: str) -> list[str]:
    """Take away every name that matches.

    Args:
        store: Where.
        pattern: As in a shell: ``"tmp*"``.  A name that is published exactly so is the only one that is meant.

    Returns:
        The names that were taken away, sorted.  What somebody else was faster with is not among them.
    """
    names = store.keys()
    meant = [pattern] if pattern in names else [name for name in names if fnmatch.fnmatchcase(name, pattern)]
    removed = []
    for name in meant:
        with contextlib.suppress(ObjectNotFoundError):
            store.delete(name)
            removed.append(name)
    return removed


def removal_line(removed: list[str]) -> str:
    """Say in one line what was taken away.

    Args:
        removed: At least one name.
    """
    shown = ", ".join(map(repr, removed[:SHOWN]))
    if len(removed) == 1:
        return f"deleted {shown}"
    more = f" and {len(removed) - SHOWN:,} more" if len(removed) > SHOWN else ""
    return f"deleted {len(removed):,} names: {shown}{more}"
