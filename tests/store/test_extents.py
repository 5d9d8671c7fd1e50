"""Extents of the heap against a list of intervals: nothing overlaps, pages are counted, what is free is punched."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from jupyter_shm.store.extents import HUGE, LARGE, LINE, PAGE, Extents, alignment, rounded

MIB = 1 << 20


# --- Sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nbytes", "size", "align"),
    [
        (1, 64, 64),
        (64, 64, 64),
        (65, 128, 64),
        (LARGE - LINE, LARGE - LINE, 64),
        (LARGE - LINE + 1, LARGE, PAGE),
        (LARGE, LARGE, PAGE),
        (LARGE + 1, LARGE + PAGE, PAGE),
        (HUGE - PAGE, HUGE - PAGE, PAGE),
        (HUGE - PAGE + 1, HUGE, HUGE),
        (HUGE + 1, HUGE + PAGE, HUGE),
    ],
)
def test_an_extent_is_rounded_up_and_aligned_by_its_size(nbytes: int, size: int, align: int):
    offset, given, _ = Extents(64 * MIB).take(nbytes)

    assert rounded(nbytes) == given == size
    assert alignment(given) == align
    assert offset % align == 0


@pytest.mark.parametrize("nbytes", [1, 64, PAGE, LARGE - LINE, LARGE, HUGE - 1, HUGE, 3 * HUGE + 5])
def test_the_pages_needed_are_never_less_than_the_pages_taken(nbytes: int):
    extents = Extents(64 * MIB)
    extents.take(2112)  # so that the next small one begins in the middle of a page

    needed = extents.pages_needed(nbytes)

    assert extents.take(nbytes)[2] <= needed <= -(-nbytes // PAGE) + 1


# --- Room -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nbytes", [(1 << 63) - 1, 1 << 64, 65 * MIB])
def test_what_is_larger_than_the_heap_is_not_given(nbytes: int):
    extents = Extents(64 * MIB)

    assert extents.take(nbytes) is None
    assert extents.pages_used == 0


def test_small_and_large_extents_live_apart():
    extents = Extents(64 * MIB)

    assert extents.take(100)[0] < 4 * MIB <= extents.take(LARGE)[0]


@pytest.mark.parametrize("heap", [64 * MIB, MIB])
def test_small_extents_use_the_whole_heap_when_they_have_to(heap: int):
    extents = Extents(heap)
    count = heap // (32 << 10)

    taken = [extents.take(32 << 10) for _ in range(count)]

    assert None not in taken
    assert extents.take(1) is None
    assert extents.pages_used == heap // PAGE


def test_large_extents_use_the_whole_heap_when_they_have_to():
    extents = Extents(64 * MIB)

    assert all(extents.take(HUGE) for _ in range(32))
    assert extents.take(HUGE) is None


def test_room_is_found_behind_any_number_of_intervals_that_are_too_small():
    extents = Extents(MIB)
    longer = extents.take(1536)
    blocks = [extents.take(1024) for _ in range(MIB // 1024 - 2)]
    for offset, nbytes, _ in [*blocks[1:200:2], longer]:
        extents.give_back(offset, nbytes)

    assert extents.take(1088)[0] == longer[0]


def test_a_page_is_punched_when_its_last_extent_goes():
    extents = Extents(64 * MIB)
    blocks = [extents.take(1024) for _ in range(8)]

    punched = [extents.give_back(offset, nbytes) for offset, nbytes, _ in blocks]

    assert punched[0][1] == punched[1][1] == punched[2][1] == 0
    assert punched[3] == (0, PAGE)
    assert punched[7] == (PAGE, PAGE)


# --- The allocator of a store that died -------------------------------------------------------------------------------


def free_space(extents: Extents) -> list[tuple[int, int]]:
    """All free intervals, as the allocator keeps them."""
    zones = (extents._small, extents._large)
    for zone in zones:
        assert zone._starts == {end: start for start, end in zone._ends.items()}
        binned = [start for bin in zone._bins for start in bin]
        assert sorted(binned) == sorted(zone._ends)
        assert all(
            (zone._ends[start] - start).bit_length() == bits for bits, bin in enumerate(zone._bins) for start in bin
        )
    return sorted(pair for zone in zones for pair in zone._ends.items())


def test_nothing_taken_is_a_heap_that_is_free():
    restored = Extents.restored(64 * MIB, [])

    assert restored.pages_used == 0
    assert free_space(restored) == free_space(Extents(64 * MIB))
    assert list(restored.free_ranges()) == [(0, 4 * MIB), (4 * MIB, 60 * MIB)]


def test_a_heap_that_is_taken_to_the_last_byte_is_restored():
    extents = Extents(MIB)
    taken = [extents.take(32 << 10)[:2] for _ in range(32)]

    restored = Extents.restored(MIB, taken)

    assert restored.take(1) is None
    assert list(restored.free_ranges()) == []
    assert restored.give_back(*taken[7]) == taken[7]


def test_pages_that_small_extents_share_are_counted_once_and_not_told_as_free():
    spans = [(PAGE - 64, 128), (3 * PAGE, 64), (3 * PAGE + 128, 64), (2 * PAGE - 64, 64)]

    restored = Extents.restored(64 * MIB, spans)

    assert restored.pages_used == 3
    assert list(restored.free_ranges())[:2] == [(2 * PAGE, PAGE), (4 * PAGE, 4 * MIB - 4 * PAGE)]
    assert restored.give_back(2 * PAGE - 64, 64)[1] == 0
    assert restored.give_back(PAGE - 64, 128) == (0, 2 * PAGE)


@pytest.mark.parametrize(
    "spans",
    [
        [(0, 128), (64, 64)],
        [(0, 64), (0, 64)],
        [(4 * MIB, HUGE), (4 * MIB + PAGE, PAGE)],
        [(-64, 64)],
        [(-64, 128)],
        [(64 * MIB - PAGE, 2 * PAGE)],
        [(64 * MIB, PAGE)],
        [(1 << 70, PAGE)],
        [(4 * MIB - PAGE, 2 * PAGE)],
        [(0, 0)],
        [(64, -64)],
    ],
    ids=[
        "overlap", "twice", "one in another", "below the heap", "begins below it", "ends beyond it", "beyond it",
        "far beyond it", "across the zones", "no bytes", "negative",
    ],
)  # fmt: skip
@pytest.mark.parametrize("other", [[], [(2 * MIB, 64), (20 * MIB, HUGE)]])
def test_extents_that_cannot_be_are_not_restored(spans: list[tuple[int, int]], other: list[tuple[int, int]]):
    with pytest.raises(ValueError, match="does not lie between"):
        Extents.restored(64 * MIB, [*other, *spans])


def test_extents_below_a_heap_without_a_zone_for_small_ones_are_not_restored():
    with pytest.raises(ValueError, match="does not lie between"):
        Extents.restored(MIB, [(-64, 64)])


# --- Anything that can happen -----------------------------------------------------------------------------------------

sizes = st.one_of(
    st.integers(1, 300),
    st.integers(PAGE - 70, PAGE + 70),
    st.integers(1, LARGE),
    st.integers(LARGE - 70, LARGE + 3 * PAGE),
    st.integers(HUGE - PAGE, HUGE + PAGE),
    st.integers(1, 3 * HUGE),
)


class ExtentsMachine(RuleBasedStateMachine):
    """Take and give back, beside a list that is searched from end to end."""

    taken = Bundle("taken")

    @initialize(heap=st.sampled_from([MIB, 12 * MIB, 64 * MIB]))
    def begin(self, heap: int) -> None:
        self.heap = heap
        self.border = heap // 16 // HUGE * HUGE
        self.extents = Extents(heap)
        self.mine: dict[int, int] = {}
        self.cover: dict[int, int] = {}  # page: how many extents touch it

    def _pages(self, offset: int, nbytes: int) -> range:
        return range(offset // PAGE, -(-(offset + nbytes) // PAGE))

    def _has_gap(self, size: int) -> bool:
        for start, end in ((0, self.border), (self.border, self.heap)):
            at = start
            for offset, nbytes in [*sorted(self.mine.items()), (self.heap, 0)]:
                if start <= offset and at + -at % alignment(size) + size <= min(offset, end):
                    return True
                at = max(at, min(offset + nbytes, end))
        return False

    @rule(target=taken, nbytes=sizes)
    def take(self, nbytes: int) -> tuple[int, int] | None:
        found = self.extents.take(nbytes)
        if found is None:
            assert not self._has_gap(rounded(nbytes)), "there is room, and it was not found"
            return None
        offset, size, pages = found
        assert size == rounded(nbytes)
        assert offset % alignment(size) == 0
        assert offset + size <= self.heap
        assert all(offset + size <= other or other + n <= offset for other, n in self.mine.items()), "overlap"
        touched = self._pages(offset, size)
        assert pages == sum(not self.cover.get(page) for page in touched)
        for page in touched:
            self.cover[page] = self.cover.get(page, 0) + 1
        self.mine[offset] = size
        return offset, size

    @rule(extent=consumes(taken))
    def give_back(self, extent: tuple[int, int] | None) -> None:
        if extent is None:
            return
        start, nbytes = self.extents.give_back(*extent)
        del self.mine[extent[0]]
        freed = []
        for page in self._pages(*extent):
            self.cover[page] -= 1
            if not self.cover[page]:
                freed.append(page)
                del self.cover[page]
        assert nbytes % PAGE == 0
        assert list(self._pages(start, nbytes)) == freed, "exactly the pages that nothing covers are punched"

    @rule(shuffle=st.randoms(use_true_random=False))
    def restore(self, shuffle) -> None:
        """Another allocator, which is told only what is taken, goes on."""
        spans = list(self.mine.items())
        shuffle.shuffle(spans)
        restored = Extents.restored(self.heap, iter(spans))
        assert free_space(restored) == free_space(self.extents)
        self.extents = restored

    @invariant()
    def free_pages_are_those_that_nothing_covers(self) -> None:
        if hasattr(self, "extents"):
            ranges = list(self.extents.free_ranges())
            assert all(offset % PAGE == nbytes % PAGE == 0 and nbytes for offset, nbytes in ranges)
            told = [page for offset, nbytes in ranges for page in self._pages(offset, nbytes)]
            assert told == sorted(set(range(self.heap // PAGE)) - self.cover.keys())

    @invariant()
    def pages_are_counted(self) -> None:
        if hasattr(self, "extents"):
            assert self.extents.pages_used == len(self.cover)

    def teardown(self) -> None:
        if not hasattr(self, "extents"):
            return
        for extent in list(self.mine.items()):
            self.give_back(extent)
        assert self.extents.pages_used == 0
        assert self.extents._small._ends == ({0: self.border} if self.border else {})
        assert self.extents._large._ends == {self.border: self.heap}
        assert sum(map(len, self.extents._large._bins)) == 1, "a bin remembers what is gone"


TestExtentsMachine = ExtentsMachine.TestCase
TestExtentsMachine.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, report_multiple_bugs=False
)
