"""Pages that extents cover, against a count for each page."""

from __future__ import annotations

from collections import Counter

import hypothesis.strategies as st
import pytest
from hypothesis import given

from jupyter_shm.store.coverage import Coverage
from jupyter_shm.tables.alignment import PAGE

LENGTHS = st.one_of(st.integers(1, 200), st.integers(PAGE - 70, PAGE + 70), st.integers(1, 4 * PAGE))


@pytest.mark.parametrize(
    ("offset", "nbytes", "pages"),
    [
        (0, 1, 1),
        (PAGE - 1, 1, 1),
        (PAGE - 1, 2, 2),
        (0, PAGE, 1),
        (0, PAGE + 1, 2),
        (64, PAGE, 2),
        (64, 3 * PAGE, 4),
        (1 << 40, 1 << 32, 1 << 20),
    ],
)
def test_every_page_that_an_extent_touches_counts(offset: int, nbytes: int, pages: int):
    coverage = Coverage()

    coverage.add(offset, nbytes)
    assert coverage.pages == pages

    coverage.remove(offset, nbytes)
    assert coverage.pages == 0


def test_a_page_that_many_share_counts_until_the_last_one_goes():
    coverage = Coverage()
    for at in range(0, 2 * PAGE, 64):
        coverage.add(at, 64)
    assert coverage.pages == 2

    for at in range(0, 2 * PAGE - 64, 64):
        coverage.remove(at, 64)
    assert coverage.pages == 1

    coverage.remove(2 * PAGE - 64, 64)
    assert coverage.pages == 0


@given(
    gaps_and_lengths=st.lists(st.tuples(st.sampled_from([0, 0, 1, 64, PAGE, 3 * PAGE]), LENGTHS), max_size=30),
    shuffle=st.randoms(use_true_random=False),
)
def test_they_are_counted_whatever_comes_and_goes(gaps_and_lengths: list[tuple[int, int]], shuffle):
    extents, at = [], 0
    for gap, nbytes in gaps_and_lengths:
        extents.append((at + gap, nbytes))
        at += gap + nbytes
    events = [(extent, is_end) for extent in extents for is_end in (False, True)]
    shuffle.shuffle(events)
    coverage, cover, there = Coverage(), Counter(), set()

    for extent, _ in events:
        # Whatever the shuffle says: the first time it comes, the second time it goes.
        first, behind = extent[0] // PAGE, -(-sum(extent) // PAGE)
        if extent in there:
            there.remove(extent)
            coverage.remove(*extent)
            cover.subtract(range(first, behind))
        else:
            there.add(extent)
            coverage.add(*extent)
            cover.update(range(first, behind))
        assert coverage.pages == sum(count > 0 for count in cover.values())

    assert coverage.pages == 0
    assert coverage._ends == {}, "it remembers what is gone"
