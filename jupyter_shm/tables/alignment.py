"""How extents are aligned and rounded, which the store and those who fill a nursery must agree on.  No I/O here."""

from __future__ import annotations

PAGE = 4096  # bytes
HUGE = 2 << 20  # bytes: the larger page of x86-64 and of arm64 with 4 KiB pages
LINE = 64  # bytes: what the smallest extents are aligned to
LARGE = 64 << 10  # bytes: from here on extents start on a page boundary, and live in a zone of their own


def alignment(nbytes: int) -> int:
    """Bytes that an extent of this size is aligned to: 64; a page from 64 KiB on; 2 MiB from 2 MiB on."""
    if nbytes >= HUGE:
        return HUGE
    return PAGE if nbytes >= LARGE else LINE


def rounded(nbytes: int) -> int:
    """Bytes that an extent for ``nbytes`` takes: whole pages from 64 KiB on, else a multiple of 64."""
    unit = PAGE if nbytes >= LARGE else LINE
    return max(nbytes + -nbytes % unit, LINE)
