"""What the contract's files tell, made by the feed from what a store tells.  Run as a program, it writes the files."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import numpy as np

from jupyter_shm.cli.snapshot import format_age
from jupyter_shm.client.events import Event
from jupyter_shm.client.info import Holder, ObjectInfo, StoreStats, format_shape
from jupyter_shm.panel import feed
from jupyter_shm.panel.preview import preview_of
from jupyter_shm.sizes import format_size

FOLDER = Path(__file__).parents[2] / "labextension" / "contract"

NOW = 1_764_000_000.0
MIB = 1 << 20
READER = Holder(4242, "analysis/read.ipynb", "0123abcd-0000", "analysis/read.ipynb", 3)
WORKER = Holder(4243, "publish.ipynb", "", "publish.ipynb", 4)  # of that notebook: no kernel

STATS = StoreStats(
    capacity=1024 * MIB,
    used=780 * MIB,
    held=8 * MIB,
    reserved=16 * MIB,
    reserve=64 * MIB,
    objects=7,
    names=4,
    clients=2,
    payload=796 * MIB,
    uptime=3600.0,
    pid=4000,
    keeper=3999,
    starts=1,
    version="0.1.0",
    python="3.11.2",
    spilled=24 * MIB,
    spilled_objects=1,
    spill_limit=4096 * MIB,
)


def info(name: str, number: int, **facts: object) -> ObjectInfo:
    """An ObjectInfo, plain but for what is said of it; objects of higher numbers are younger."""
    plain = ObjectInfo(
        name=name,
        type="numpy.ndarray",
        shape=(1024, 1024),
        dtype="float64",
        nbytes=8 * MIB,
        state="live",
        version=1,
        created=datetime.fromtimestamp(NOW - 100 + number, timezone.utc),
        owner="publish.ipynb",
        holders=(),
        reads=0,
        containers=0,
        id=(1 << 60) + number,  # more than a JavaScript number can tell
        pinned=False,
        expires=None,
        lifetime="store" if name else "reference",
        _meta=None,
    )
    return replace(plain, **facts)


def event(number: int, kind: str, name: str, id: int, version: int = 1, who: str = "publish.ipynb") -> Event:
    """An event, one second after the one before."""
    return Event(9_000_000_000_000 + number, NOW - 100 + number, kind, name, (1 << 60) + id, version, 8 * MIB, who)


ARRAY = info("array", 1, holders=(READER,), reads=3)
TABLE = info(
    "flights", 2, type="pandas.DataFrame", shape=(336_776, 19), dtype=None, nbytes=61_000_000, pinned=True, version=2
)
HTML = info("<img src=x onerror=alert(1)>", 3, type="builtins.dict", shape=None, dtype=None, expires=90.0)
SPILLED = info("old", 4, state="spilled", lifetime="kernel")
HELD = info("gone", 5, state="held", holders=(READER,))
PENDING = info("", 7, type="?", shape=None, dtype=None, nbytes=0, state="pending", holders=(WORKER,))
ANONYMOUS = info("", 6, shape=(), dtype="int64", nbytes=8, owner="kernel 0123abcd", containers=1)

EVENTS = [
    event(1, "publish", "array", 1),
    event(2, "overwrite", "flights", 2, version=2),
    event(3, "publish", HTML.name, 3),
    event(4, "spill", "old", 4, who=""),
    event(5, "delete", "gone", 5, who="analysis/read.ipynb"),
]
LATER = [event(20, "overwrite", "array", 20, version=2), event(21, "delete", "old", 4)]


def first_state() -> feed.State:
    """A little of everything."""
    return feed.state_of("default", 77, 7, NOW, STATS, [ARRAY, TABLE, HTML, SPILLED, HELD, ANONYMOUS, PENDING], EVENTS)


def next_state() -> feed.State:
    """Ten seconds later: one name means another object, which is read; others are gone, one only looks changed.

    What was PENDING has been made.
    """
    stats = replace(STATS, used=980 * MIB, spilled=0, spilled_objects=0, uptime=3610.0)
    array = info("array", 20, version=2, holders=(READER,), created=datetime.fromtimestamp(NOW + 1, timezone.utc))
    html = replace(HTML, expires=80.0004)
    made = info("", 7, created=datetime.fromtimestamp(NOW + 2, timezone.utc), holders=(READER,))
    objects = [array, TABLE, html, replace(HELD, holders=()), ANONYMOUS, made]
    return feed.state_of("default", 77, 8, NOW + 10, stats, objects, [*EVENTS, *LATER])


def previews() -> dict[str, object]:
    """One preview of each kind."""
    wave = np.sin(np.linspace(0, 6.283185307179586, 5)).round(3)
    return {
        "line": preview_of(wave),
        "image": preview_of(np.array([[[255, 0, 0], [0, 0, 255]]] * 2, np.uint8)),
        "table": preview_of(np.array([[1.5, 2.0], [3.0, 4.0]])),
        "text": preview_of({"<b>": [1, 2]}),
    }


def formats() -> dict[str, object]:
    """Sizes, shapes and ages as both sides write them."""
    sizes = [0, 1023, 1024, 1536, 1024 * 1024 - 1, 61_000_000, 5 << 30, 1 << 50]
    shapes = [(), (3,), (336_776, 19), (1, 2, 1_000_000)]
    ages = [-1, 0, 0.9, 59.9, 60, 3599, 3600, 86_399, 86_400, 1e6]
    return {
        "sizes": [(size, format_size(size)) for size in sizes],
        "shapes": [(shape, format_shape(shape)) for shape in shapes],
        "ages": [(age, format_age(age)) for age in ages],
    }


def files() -> dict[str, object]:
    """What each file of the contract says."""
    before, after = first_state(), next_state()
    return {
        "state.json": before,
        "diff.json": feed.change(before, after),
        "after.json": after,
        "fault.json": feed.fault_state("default", 9, NOW + 20, "no store is running"),
        "previews.json": previews(),
        "formats.json": formats(),
    }


def text_of(told: object) -> str:
    """As it stands in a file."""
    return json.dumps(json.loads(msgspec.json.encode(told)), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, told in files().items():
        (FOLDER / name).write_text(text_of(told))
