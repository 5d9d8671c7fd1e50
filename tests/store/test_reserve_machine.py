"""The warm reserve against a byte per page: every page is in one place, what is given up is told once, nothing is done for ever."""

from __future__ import annotations

import re

import hypothesis.strategies as st
from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jupyter_shm.store.extents import HUGE, LARGE, PAGE, Extents, alignment, rounded
from jupyter_shm.store.reserve import EXCESS, FORGET, QUIET, STEP, TRIM, Range, Reserve

MIB = 1 << 20
HEAP = 64 * MIB
START = 1000.0  # seconds
COLD, USED, WARM, WARMING = b"cuwW"  # where a page is
PAGES = HEAP // PAGE
BORDER = 4 * MIB
# Not `shrink` and `explain`: a failing machine has to print its example within faulthandler's minute.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
sizes = st.one_of(
    st.integers(1, 3000),
    st.integers(LARGE - 70, LARGE + 3 * PAGE),
    st.integers(HUGE - PAGE, HUGE + PAGE),
    st.integers(1, 12 * MIB),
    st.sampled_from([STEP - PAGE, STEP, STEP + 1, 36 * MIB]),
)
PICK = st.integers(0, 1000)


class ReserveMachine(RuleBasedStateMachine):
    """Everything that the ledger and the core do with it, beside a byte for each page."""

    @initialize(wanted=st.sampled_from([0, HUGE, 6 * MIB, 24 * MIB, 60 * MIB]))
    def begin(self, wanted: int) -> None:
        self.target = wanted
        self.now = START
        self.last_put = START
        self.extents = Extents(HEAP)
        self.plain = Extents(HEAP)  # one without a reserve: the same as long as nothing is wanted warm
        self.reserve = Reserve(self.extents, HEAP, wanted, START)
        self.mine: list[Range] = []
        self.cover: dict[int, int] = {}  # page: extents that touch it
        self.pages = bytearray([COLD]) * PAGES
        self.huge: set[int] = set()  # huge pages of which the warmer said so, and nothing was punched since
        self.tried: set[int] = set()

    # --- the reference ----------------------------------------------------------------------------------------------

    def _set(self, offset: int, nbytes: int, where: int, *before: int) -> None:
        assert offset % PAGE == nbytes % PAGE == 0
        first, behind = offset // PAGE, (offset + nbytes) // PAGE
        assert set(self.pages[first:behind]) <= set(before), "a page is somewhere else"
        self.pages[first:behind] = bytes([where]) * (behind - first)

    def _ranges(self, *where: int) -> list[Range]:
        found = re.finditer(b"[%s]+" % bytes(where), self.pages)
        return [(match.start() * PAGE, (match.end() - match.start()) * PAGE) for match in found]

    def _nbytes(self, *where: int) -> int:
        return sum(nbytes for _, nbytes in self._ranges(*where))

    def _punched(self, offset: int, nbytes: int) -> None:
        touched = range(offset // HUGE, -(-(offset + nbytes) // HUGE))
        self.huge -= set(touched)
        self.tried -= set(touched)

    def _tell(self, least: int = 0, most: int = HEAP) -> None:
        """What was given up is told, once, and at once: before anybody may be given it."""
        spoilt = self.reserve.take_spoilt()
        for offset, nbytes in spoilt:
            assert nbytes > 0
            self._set(offset, nbytes, COLD, WARM)
            self._punched(offset, nbytes)
        assert least <= sum(nbytes for _, nbytes in spoilt) <= most
        assert self.reserve.take_spoilt() == [], "told twice"

    @property
    def _wanted(self) -> int:
        return self.target if self.now < self.last_put + FORGET else 0

    # --- what the ledger does ---------------------------------------------------------------------------------------

    @rule(nbytes=sizes, is_noted=st.booleans())
    def put(self, nbytes: int, is_noted: bool) -> None:
        if is_noted:
            self.reserve.note_put(self.now)
            self.last_put = self.now
        size, align = rounded(nbytes), alignment(rounded(nbytes))
        warm = self._ranges(WARM)
        taken = self.reserve.take(nbytes)
        if taken is None:
            fits = [
                (start, n)
                for start, n in warm
                for low, high in ((0, BORDER), (BORDER, HEAP))
                if max(start, low) + -max(start, low) % align + size <= min(start + n, high)
            ]
            assert size < LARGE or not fits, "it was warm, and was not found"
            cold = self.extents.take(nbytes)
            if self.target == 0:
                assert cold == self.plain.take(nbytes)
            if cold is None:
                return
            taken = cold[:2]
        else:
            self._taken_warm(*taken)
        assert taken[1] == size
        assert taken[0] % align == 0
        self.mine.append(taken)
        for page in range(taken[0] // PAGE, -(-(taken[0] + size) // PAGE)):
            assert self.pages[page] in (COLD, USED)
            self.pages[page] = USED
            self.cover[page] = self.cover.get(page, 0) + 1

    def _taken_warm(self, offset: int, nbytes: int) -> None:
        """All of it was warm; of a very large one the beginning, which is the half of it or more."""
        pages = self.pages[offset // PAGE : (offset + nbytes) // PAGE]
        warm = len(pages) - len(pages.lstrip(bytes([WARM])))
        assert warm == len(pages) or (nbytes >= STEP and 2 * warm >= len(pages))
        self._set(offset, warm * PAGE, COLD, WARM)
        self._set(offset + warm * PAGE, nbytes - warm * PAGE, COLD, COLD)

    @precondition(lambda self: self.mine)
    @rule(pick=PICK)
    def give_back(self, pick: int) -> None:
        self._give_back(*self.mine.pop(pick % len(self.mine)))

    @precondition(lambda self: any(nbytes > LARGE for _, nbytes in self.mine))
    @rule(pick=PICK, at=st.sampled_from([64, 3000, PAGE, LARGE]))
    def cut(self, pick: int, at: int) -> None:
        """Pieces of a nursery: of any size, where only large extents are."""
        able = [one for one in self.mine if one[1] > LARGE]
        offset, nbytes = able[pick % len(able)]
        self.mine.remove((offset, nbytes))
        at = at // 64 * 64
        self.mine += [(offset, at), (offset + at, nbytes - at)]
        if (offset + at) % PAGE:
            self.cover[(offset + at) // PAGE] += 1

    def _give_back(self, offset: int, nbytes: int) -> None:
        freed = []
        for page in range(offset // PAGE, -(-(offset + nbytes) // PAGE)):
            self.cover[page] -= 1
            if not self.cover[page]:
                freed.append(page)
                del self.cover[page]
        start, size = self.reserve.give_back(offset, nbytes)
        if self.target == 0:
            assert (start, size) == self.plain.give_back(offset, nbytes)
        keeps = self.target > 0 and offset >= BORDER
        assert keeps <= (size == 0)
        if freed and not keeps:
            assert (start, size) == (freed[0] * PAGE, len(freed) * PAGE)
            self._punched(start, size)
        for page in freed:
            self.pages[page] = WARM if keeps else COLD

    @rule(nbytes=st.one_of(st.sampled_from([0, -PAGE, 1, PAGE, HEAP]), st.integers(1, 20 * MIB)))
    def give_up(self, nbytes: int) -> None:
        there = self._nbytes(WARM)
        self.reserve.give_up(nbytes)
        self._tell(least=min(max(nbytes, 0), there), most=max(0, min(there, nbytes + HUGE)))

    # --- what the core does -----------------------------------------------------------------------------------------

    @rule()
    def settle(self) -> None:
        there = self._nbytes(WARM)
        excess = max(0, there + self._nbytes(WARMING) - self._wanted - self._nbytes(WARMING))
        self.reserve.settle(self.now)
        self._tell(most=min(there, min(excess, TRIM) + HUGE) if excess else 0)

    @rule(room=st.sampled_from([0, HUGE - 1, 3 * HUGE + 1, HEAP]))
    def step(self, room: int) -> None:
        before = self._nbytes(WARM, WARMING)
        step = self.reserve.next_step(lambda nbytes: min(nbytes, room), self.now)
        if step is None:
            return
        offset, nbytes = step
        assert self._wanted
        assert self.now >= self.last_put + QUIET
        assert offset % HUGE == nbytes % HUGE == 0
        assert 0 < nbytes <= STEP
        was_cold = self.pages[offset // PAGE] == COLD
        self._set(offset, nbytes, WARMING, COLD if was_cold else WARM)
        if was_cold:
            assert nbytes <= room
            assert before + nbytes <= self.target
        else:
            touched = set(range(offset // HUGE, (offset + nbytes) // HUGE))
            assert not touched & (self.huge | self.tried), "warmed once more"

    @precondition(lambda self: self.reserve.warming)
    @rule(came=st.sampled_from(["huge", "present", "some of both", "nothing", "half"]))
    def warmed(self, came: str) -> None:
        offset, nbytes = self.reserve.warming
        shares = {"huge": (1, 0), "present": (0, 1), "some of both": (0.5, 0.5), "nothing": (0, 0), "half": (0.5, 0)}
        huge, present = (int(share * nbytes) for share in shares[came])
        self.reserve.warmed(huge, present)
        self._set(offset, nbytes, WARM, WARMING)
        touched = set(range(offset // HUGE, (offset + nbytes) // HUGE))
        if came in ("nothing", "half"):
            self._tell(least=nbytes, most=nbytes)
            return
        self._tell(most=0)
        self.huge -= touched
        (self.huge if came == "huge" else self.tried).update(touched)

    # --- time -------------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        """What the daemon does at a deadline; it must come to an end without time going on."""
        for _ in range(HEAP // TRIM + 3):
            deadline = self.reserve.deadline(self.now)
            if deadline is None or deadline > self.now:
                return
            self.settle()
            self.step(HEAP)
        raise AssertionError("the reserve has work for ever without time going on")

    def _advance(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            self._work()
            deadline = self.reserve.deadline(self.now)
            if deadline is None or deadline > end:
                break
            self.now = deadline
        self.now = end
        self._work()

    @rule(seconds=st.sampled_from([0.0, QUIET, EXCESS / 2, 5.0]))
    def later(self, seconds: float) -> None:
        self._advance(seconds)

    @rule(seconds=st.sampled_from([QUIET, EXCESS, FORGET]))
    def the_store_sleeps(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def a_second_later(self) -> None:
        self._advance(1.0)
        assert self._nbytes(WARM) <= self._wanted, "the excess is still there"

    @rule()
    def ten_minutes_later(self) -> None:
        self._advance(FORGET + 1)
        assert self._nbytes(WARM) == 0
        if self.reserve.warming:
            self.warmed("huge")
            self._advance(1.0)
        assert self.reserve.nbytes == 0
        assert self.reserve.deadline(self.now) is None, "an idle store does nothing"

    # --- promises ---------------------------------------------------------------------------------------------------

    @invariant()
    def every_page_is_in_one_place(self) -> None:
        if not hasattr(self, "reserve"):
            return
        reserve = self.reserve
        assert list(self.extents.free_ranges()) == self._split(self._ranges(COLD))
        warm = sorted(one for one in reserve.ranges() if one != reserve.warming)
        assert self._split(warm) == self._split(self._ranges(WARM))
        assert self._ranges(WARMING) == ([reserve.warming] if reserve.warming else [])
        assert self.extents.pages_used == PAGES - self.pages.count(COLD)
        assert reserve.nbytes == self._nbytes(WARM, WARMING)
        assert self.target or not reserve.nbytes

    def _split(self, ranges: list[Range]) -> list[Range]:
        """The same, none of them across the border of the zones."""
        parts = []
        for start, nbytes in ranges:
            for low, high in ((0, BORDER), (BORDER, HEAP)):
                first, behind = max(start, low), min(start + nbytes, high)
                parts += [(first, behind - first)] if first < behind else []
        return parts

    @invariant()
    def huge_is_only_what_the_warmer_said_and_nobody_punched(self) -> None:
        for offset, nbytes in getattr(self, "mine", ()):
            at = offset // HUGE
            while at in self.huge and at * HUGE < offset + nbytes:
                at += 1
            assert self.reserve.huge(offset, nbytes) == min(max(0, at * HUGE - offset), nbytes)

    def teardown(self) -> None:
        if not hasattr(self, "reserve"):
            return
        for extent in self.mine:
            self._give_back(*extent)
        self.mine.clear()
        if self.reserve.warming:
            self.warmed("nothing")
        self.give_up(HEAP)
        assert list(self.extents.free_ranges()) == [(0, BORDER), (BORDER, HEAP - BORDER)]
        assert (self.extents.pages_used, self.reserve.nbytes) == (0, 0)
        assert len(self.extents._large._ends) == len(self.extents._small._ends) == 1, "a border where there is none"


TestReserveMachine = ReserveMachine.TestCase
TestReserveMachine.settings = settings(
    max_examples=120, stateful_step_count=50, deadline=None, report_multiple_bugs=False, phases=PHASES
)
