"""When a store that died is started again: at once if it served, later and later if not, and at last not at all."""

from __future__ import annotations

from jupyter_shm.store.restarts import FREE, GIVE_UP, LAST_DELAY, LAST_UNBORN_DELAY, SHORT, Restarts


def test_a_store_that_served_is_started_again_at_once_and_for_ever():
    restarts = Restarts()

    assert [restarts.after(SHORT) for _ in range(1000)] == [0.0] * 1000


def test_short_lives_are_free_at_first_and_then_wait_longer_and_longer():
    restarts = Restarts()
    delays = [restarts.after(SHORT / 2) for _ in range(20)]

    assert delays[:FREE] == [0.0] * FREE
    assert delays == sorted(delays)
    assert delays[-1] == LAST_DELAY
    assert restarts.after(SHORT) == 0.0
    assert restarts.after(0.0) == 0.0, "a long life makes good for the short ones"


def test_a_store_that_never_serves_is_given_up_after_some_seconds():
    restarts = Restarts()
    delays = [restarts.after(None) for _ in range(GIVE_UP)]

    assert delays[-1] is None
    assert None not in delays[:-1]
    assert max(delays[:-1]) <= LAST_UNBORN_DELAY
    assert sum(delays[:-1]) > 2.0


def test_one_that_serves_in_between_begins_the_count_anew():
    restarts = Restarts()
    for _ in range(5):
        assert None not in [restarts.after(None) for _ in range(GIVE_UP - 1)]
        assert restarts.after(SHORT) == 0.0
