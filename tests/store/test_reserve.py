"""The warm reserve by example: what is kept warm, what is warmed, what is given up, and when it rests."""

from __future__ import annotations

import pytest
from pure_store import PureStore

from jupyter_shm.store import actions as a
from jupyter_shm.store.extents import HUGE, LARGE, PAGE, Extents, rounded
from jupyter_shm.store.reserve import EXCESS, FORGET, QUIET, STEP, TRIM, Reserve

MIB = 1 << 20
HEAP = 64 * MIB
START = 1000.0  # seconds


def all_of(nbytes: int) -> int:
    """A machine that can give everything."""
    return nbytes


def none_of(_nbytes: int) -> int:
    """A machine that can give nothing."""
    return 0


def warmed_reserve(target: int, heap: int = HEAP) -> tuple[Extents, Reserve]:
    """A reserve that is as large as it is to be, all of it in huge pages."""
    extents = Extents(heap)
    reserve = Reserve(extents, heap, target, START)
    while step := reserve.next_step(all_of, START + QUIET):
        reserve.warmed(step[1], 0)
    return extents, reserve


# --- By example -------------------------------------------------------------------------------------------------------


def test_a_reserve_without_a_wanted_size_keeps_nothing_and_never_wakes_anybody():
    extents = Extents(HEAP)
    reserve = Reserve(extents, HEAP)
    offset, nbytes, _ = extents.take(HUGE)
    reserve.note_put(START)

    assert reserve.give_back(offset, nbytes) == (offset, nbytes)
    assert reserve.take(HUGE) is None
    assert reserve.next_step(all_of, START + 1) is None
    assert reserve.deadline(START) is reserve.deadline(START + FORGET) is None
    assert (reserve.nbytes, reserve.take_spoilt(), extents.pages_used) == (0, [], 0)


def test_it_is_filled_step_by_step_and_then_at_rest():
    _, reserve = warmed_reserve(40 * MIB)

    assert reserve.nbytes == 40 * MIB
    assert reserve.deadline(START + 1) == START + FORGET
    assert reserve.next_step(all_of, START + 1) is None


def test_nothing_is_warmed_just_after_a_put_nor_twice_at_a_time():
    reserve = Reserve(Extents(HEAP), HEAP, 40 * MIB, START)
    reserve.note_put(START)

    assert reserve.next_step(all_of, START + QUIET / 2) is None
    assert reserve.deadline(START) == START + QUIET
    assert reserve.next_step(all_of, START + QUIET)[1] == STEP
    assert reserve.next_step(all_of, START + 1) is None


def test_what_the_machine_cannot_give_is_not_warmed_and_not_asked_for_again():
    reserve = Reserve(Extents(HEAP), HEAP, 40 * MIB, START)

    assert reserve.next_step(none_of, START + 1) is None
    assert reserve.deadline(START + 1) == START + FORGET


@pytest.mark.parametrize("nbytes", [HUGE, 3 * HUGE + 5])
def test_a_put_takes_what_is_warm_and_gives_it_back_as_huge_as_it_was(nbytes: int):
    extents, reserve = warmed_reserve(16 * MIB)
    used = extents.pages_used

    taken = reserve.take(nbytes)

    assert taken[1] == rounded(nbytes)
    assert reserve.huge(*taken) == taken[1]
    assert extents.pages_used == used
    assert reserve.nbytes == 16 * MIB - taken[1]
    assert reserve.give_back(*taken)[1] == 0
    assert reserve.huge(*taken) == taken[1]
    assert reserve.nbytes == 16 * MIB


def test_of_an_extent_so_much_is_huge_as_lies_in_huge_pages_from_its_beginning_on():
    _, reserve = warmed_reserve(HUGE)
    ((start, nbytes),) = reserve.ranges()

    assert reserve.huge(start + nbytes - LARGE, LARGE) == LARGE
    assert reserve.huge(start + nbytes - PAGE, LARGE) == PAGE
    assert reserve.huge(start - PAGE, LARGE) == 0


def test_a_very_large_put_has_a_warm_beginning_and_a_cold_end():
    extents, reserve = warmed_reserve(24 * MIB)
    used = extents.pages_used

    offset, nbytes = reserve.take(STEP + PAGE)

    assert (offset, nbytes) == (4 * MIB, STEP + PAGE)
    assert reserve.huge(offset, nbytes) == 24 * MIB
    assert (reserve.nbytes, extents.pages_used) == (0, used + (8 * MIB + PAGE) // PAGE)
    assert reserve.give_back(offset, nbytes)[1] == 0
    assert reserve.nbytes == STEP + PAGE
    assert reserve.take(2 * STEP) is None, "less than the half of it would be warm, or there is no room behind"


def test_what_is_given_up_is_no_part_of_a_huge_page():
    _, reserve = warmed_reserve(16 * MIB)

    reserve.give_up(PAGE)

    assert reserve.take_spoilt() == [(4 * MIB + 14 * MIB, HUGE)]
    assert reserve.take_spoilt() == []
    assert reserve.huge(4 * MIB, 16 * MIB) == 14 * MIB


@pytest.mark.parametrize(("huge", "present", "is_kept"), [(32, 0, 1), (0, 32, 1), (30, 2, 1), (0, 0, 0), (16, 15, 0)])
def test_what_came_of_a_step_is_kept_if_all_of_it_has_memory(huge: int, present: int, is_kept: int):
    extents = Extents(HEAP)
    reserve = Reserve(extents, HEAP, STEP, START)
    step = reserve.next_step(all_of, START + 1)

    reserve.warmed(huge * MIB, present * MIB)

    assert reserve.nbytes == is_kept * STEP
    assert reserve.huge(*step) == (STEP if huge == 32 else 0)
    assert reserve.take_spoilt() == ([] if is_kept else [step])
    assert extents.pages_used == is_kept * STEP // PAGE
    # Nothing is tried again before something changes.
    assert reserve.next_step(all_of, START + 2) is None
    assert reserve.deadline(START + 2) == START + FORGET


def test_what_was_written_before_it_could_be_warmed_is_warmed_when_it_is_free():
    extents = Extents(HEAP)
    reserve = Reserve(extents, HEAP, 16 * MIB, START)
    offset, nbytes, _ = extents.take(6 * MIB)
    reserve.give_back(offset, nbytes)

    assert reserve.next_step(none_of, START + 1) == (offset, nbytes)
    reserve.warmed(nbytes, 0)
    assert reserve.next_step(all_of, START + 1)[1] == 10 * MIB


def test_the_excess_goes_within_a_second_and_the_next_put_may_have_it_until_then():
    extents, reserve = warmed_reserve(8 * MIB)
    offset, nbytes, _ = extents.take(30 * MIB)
    reserve.give_back(offset, nbytes)

    reserve.settle(START + 1)
    assert reserve.take_spoilt() == []
    assert reserve.deadline(START + 1) <= START + 1 + EXCESS
    for _ in range(30 * MIB // TRIM + 1):
        reserve.settle(START + 1 + EXCESS)
    assert reserve.nbytes == 8 * MIB
    assert sum(nbytes for _, nbytes in reserve.take_spoilt()) == 30 * MIB


def test_a_reserve_in_the_small_zone_is_never_joined_with_one_beyond_its_border():
    extents = Extents(HEAP)
    first, _ = extents.take(HUGE), extents.take(58 * MIB)
    reserve = Reserve(extents, HEAP, 8 * MIB, START)
    reserve.give_back(*first[:2])
    while step := reserve.next_step(all_of, START + 1):
        reserve.warmed(step[1], 0)

    taken = reserve.take(4 * MIB)

    assert taken is None or taken[0] + 4 * MIB <= 4 * MIB or taken[0] >= 4 * MIB
    reserve.give_up(HEAP)
    assert list(extents.free_ranges()) == [(0, 4 * MIB), (4 * MIB, 2 * MIB)]
    assert extents.pages_used == 58 * MIB // PAGE


# --- In the store -----------------------------------------------------------------------------------------------------


def test_a_store_that_is_full_warms_nothing():
    store = PureStore(8 * MIB, 256 * MIB)
    store.ledger.warm.target = HUGE
    store.connect().reserve(8 * MIB - PAGE)

    store.advance(10.0)

    assert store.warming == []
    assert store.ledger.extents.pages_used == 8 * MIB // PAGE - 1


def test_what_is_warm_is_given_up_and_punched_before_a_put_is_granted_that_needs_its_room():
    store = PureStore(8 * MIB, 256 * MIB)
    store.ledger.warm.target = 4 * MIB
    client = store.connect()
    store.advance(1.0)
    store.warmed(4 * MIB, 0)
    assert store.ledger.warm.nbytes == 4 * MIB
    done: list[type] = []
    store.on_action = lambda action: done.append(type(action))

    assert client.reserve(4 * MIB + PAGE).offset
    assert done[0] is a.Punch
    assert store.ledger.extents.pages_used * PAGE <= 8 * MIB
    store.ledger.check()


def test_a_warm_put_is_told_that_it_lies_in_huge_pages():
    store = PureStore(64 * MIB, 256 * MIB)
    store.ledger.warm.target = 4 * MIB
    client = store.connect()
    store.advance(1.0)
    store.warmed(4 * MIB, 0)

    assert client.reserve(2 * MIB).huge == 2 * MIB
    assert client.nursery(LARGE).granted.is_huge
    assert client.reserve(4 * MIB).huge == 0
