"""Whether somebody looks: only silence of a page that could have been heard counts."""

from __future__ import annotations

from jupyter_shm.panel.audience import PATIENCE, Audience


def test_who_says_nothing_for_long_after_something_was_told_is_gone():
    audience = Audience()
    audience.told(100)
    audience.told(110)

    assert not audience.is_gone(100 + PATIENCE)
    assert audience.is_gone(100.1 + PATIENCE)


def test_nobody_is_gone_to_whom_nothing_was_told():
    audience = Audience()

    assert not audience.is_gone(1e9)


def test_an_answer_begins_the_time_anew():
    audience = Audience()
    audience.told(100)
    audience.seen()

    assert not audience.is_gone(1e9)
    audience.told(200)
    assert not audience.is_gone(200 + PATIENCE)


def test_while_a_cell_runs_no_answer_can_be_heard():
    audience = Audience()
    audience.busy()
    audience.told(100)

    assert not audience.is_gone(1e6)
    audience.free(1e6)
    assert not audience.is_gone(1e6 + PATIENCE)
    assert audience.is_gone(1e6 + PATIENCE + 1)
