"""The terms of objects: what was agreed about each of them, in words of the index.  No I/O here.

Four words per slot, the last of them unused; see the TERM_* numbers of ``layout``.  The store writes them, one word at
a time; nearly all stay zero for ever, and memory is used only where one was written.  So:

1. A word that is zero, and is to be zero, is not written.
2. Nobody reads terms through a map unless he knows that they were written: reading a hole of a shared map makes a
   page of it.  A store that starts anew reads the pages that there are from the file, and hands them to ``written``.
3. What stands in the slot of no object means nothing, and is made zero by who starts anew; an object's are written
   before it becomes LIVE.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from .layout import PAGE, TERM_EXPIRY, TERM_FLAGS, TERM_SPILLED, TERMS_BASE, TERMS_SIZE, WORD

_FIRST_WORD, _WORDS = TERMS_BASE // WORD, TERMS_SIZE // WORD
_WHOLE = struct.Struct(f"=3Q{TERMS_SIZE - 3 * WORD}x")
_EMPTY_PAGE = bytes(PAGE)


class Terms(NamedTuple):
    """The terms of one object, in the order of their words."""

    flags: int = 0  # PINNED, KERNEL_LIFETIME
    expiry: int = 0  # nanoseconds of CLOCK_MONOTONIC; 0: never
    spilled: int = 0  # offset in the spill heap plus 1; 0: the bytes are in the heap


NO_TERMS = Terms()


def term_word(slot: int, term: int) -> int:
    """Which word of the index one of the TERM_* of a slot is."""
    return _FIRST_WORD + slot * _WORDS + term


class TermsTable:
    """Both halves: the store writes, everybody reads.

    Args:
        words: The whole index, a memoryview of format "Q"; read-only in a client.
    """

    __slots__ = ("words",)

    def __init__(self, words: memoryview) -> None:
        self.words = words

    def get(self, slot: int, term: int) -> int:
        """Read one of the TERM_* of a slot."""
        return self.words[term_word(slot, term)]

    def set(self, slot: int, term: int, value: int) -> None:
        """Write one of the TERM_* of a slot."""
        self.words[term_word(slot, term)] = value


def changes(old: Terms, new: Terms) -> list[tuple[int, int]]:
    """What is to be written so that the terms of a slot are others: ``(term, value)`` of each, in this order.

    The expiry comes before the flags, so that an object whose pin is taken away expires when its time has come, and
    not before that is known.
    """
    order = (TERM_EXPIRY, TERM_FLAGS, TERM_SPILLED)
    return [(term, new[term]) for term in order if old[term] != new[term]]


def written(data: bytes | memoryview, first: int = 0) -> Iterator[tuple[int, Terms]]:
    """Tell of every slot some of whose terms are not zero.

    Args:
        data: A part of the table of terms, whole pages, copied.
        first: The slot that it begins with.

    Yields:
        The slot and its terms.
    """
    for start in range(0, len(data), PAGE):
        page = bytes(data[start : start + PAGE])
        if page == _EMPTY_PAGE:
            continue
        for at, words in enumerate(_WHOLE.iter_unpack(page), first + start // TERMS_SIZE):
            if any(words):
                yield at, Terms._make(words)
