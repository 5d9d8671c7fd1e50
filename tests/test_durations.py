"""Times as people write and read them."""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import pytest

from jupyter_shm.durations import format_duration, parse_duration
from jupyter_shm.errors import SettingError


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("10m", 600),
        ("1h30m", 5400),
        ("1h 30min", 5400),
        ("90", 90),
        ("0.5s", 0.5),
        ("1.5H", 5400),
        (" 2 days ", 172_800),
        ("1d1h1m1s", 90_061),
        (7, 7),
        (0.25, 0.25),
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (timedelta(minutes=2), 120),
    ],
)
def test_durations_are_read(value: object, seconds: float):
    assert parse_duration(value) == pytest.approx(seconds)


WRONG = [
    "", " ", "m", "h1", "-5", "-5m", "0", "0s", "10x", "1e3", "1h 30", "30 1h", "1,5h", "ten minutes", "inf", "nan", "1" * 400,
    0, -1, math.inf, math.nan, True, None, [1], timedelta(0), 10**400, "1" * 100_000 + "x",
]  # fmt: skip


@pytest.mark.parametrize("value", WRONG, ids=lambda value: repr(value)[:20])
def test_what_is_no_duration_is_named_with_what_it_is_for(value: object):
    with pytest.raises(SettingError, match=r"^ttl is .*'1h30m'") as caught:
        parse_duration(value, "ttl")

    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (-3, "0.0 s"),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (570, "9 min 30 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (5400, "1 h 30 min"),
        (86_460, "1 d"),
        (97_200, "1 d 3 h"),
    ],
)
def test_durations_are_shown_in_their_two_largest_units(seconds: float, text: str):
    assert format_duration(seconds) == text
