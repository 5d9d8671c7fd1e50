"""The crash table of objects that leave for the disk: whoever dies at whatever step, every byte is where it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from crash_table import State, World, forker
from test_crash_table import Row, cases, try_all

MANY = 6
"""Large objects that fit into the store, besides the one that stands in the background."""

ALL = {f"n{n}": (n, 1) for n in range(MANY)}
MORE = {**ALL, "more": (7, 1)}
FILL = f"[store.put(large(n), f'n{{n}}').version for n in range({MANY})]"
SPILL = f"[{FILL}, store.put(large(7), 'more').version]"

ROWS = {
    "put": Row(
        ("Reserve", "attend", "settle", "Commit"),
        "store.put(large(7), 'more').version",
        1,
        State(MORE),
        State(ALL),
        FILL,
    ),
    "put under readers": Row(
        ("attend", "settle"),
        "store.put(large(7), 'more').version",
        1,
        State(MORE),
        State(ALL),
        FILL,
        views=("n0", "n1"),
    ),
    "get": Row(("Look", "settle"), "[store.get('nothing', default=None), same(store.get('n0'))]", [None, 0], State(MORE), State(MORE), SPILL),
    "delete": Row(
        ("Delete", "settle"),
        "store.delete('n0')",
        None,
        State({name: known for name, known in MORE.items() if name != "n0"}),
        State(MORE),
        SPILL,
    ),
    "delete under a reader": Row(
        ("Delete", "settle"),
        "store.delete('n0')",
        None,
        State({name: known for name, known in MORE.items() if name != "n0"}, 1),
        State(MORE),
        SPILL,
        views=("n0",),
    ),
    "overwrite": Row(
        ("Commit", "settle"),
        "store.put(full(3), 'n0').version",
        2,
        State({**MORE, "n0": (3, 2)}),
        State(MORE),
        SPILL,
    ),
    "shrink": Row(
        ("SetCapacity", "attend", "settle"),
        "shrink(10 << 20)",
        True,
        State(ALL),
        State(ALL),
        f"[set_capacity(store, 16 << 20), {FILL}]",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def clients() -> Iterator[Any]:
    with forker() as made:
        yield made


@pytest.fixture
def world(runtime_folder, clients) -> Iterator[World]:
    world = World(runtime_folder, clients, "16MiB")
    yield world
    world.close()


@pytest.mark.reserve("0")
@pytest.mark.parametrize(("row", "die"), list(cases(ROWS)))
def test_whoever_dies_at_whatever_step_every_byte_is_where_it_was(world, row, die):
    try_all(world, ROWS[row], die)
