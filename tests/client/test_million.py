"""A million tiny objects: that they fit, what each of them costs the store, and that all of it comes back."""

from __future__ import annotations

from pathlib import Path

import pytest
from peers import heap_bytes

from jupyter_shm.client.store import Store
from jupyter_shm.testing.private import eventually

COUNT = 1_000_000
PART = 10_000  # so that an answer of a peer never takes a minute

PUTS = {
    "names": "for n in range({0}, {1}): store.put(n, f'n{{n}}')",
    "references": "kept += [store.put(n) for n in range({0}, {1})]",
}
ENDS = {"names": "for n in range({0}, {1}): store.delete(f'n{{n}}')", "references": "del kept[-{2}:]"}


def memory(pid: int) -> int:
    """Bytes of private memory of a process: its heap and its stack, and no memory that it shares."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no figure for anonymous memory")


def index_bytes(pid: int) -> int:
    for link in Path(f"/proc/{pid}/fd").iterdir():
        if "jupyter-shm-index" in str(link.readlink()):
            return link.stat().st_blocks * 512
    raise AssertionError("the store has no index open")


def in_parts(peer, code: str) -> None:
    for first in range(0, COUNT, PART):
        peer(code.format(first, first + PART, PART))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["names", "references"])
def test_a_million_tiny_objects_fit_and_tell_what_each_of_them_costs(runtime_folder, new_peer, kind, capsys):
    with Store(capacity="2GiB") as store:
        pid = store.stats().pid
        before = memory(pid), index_bytes(pid)
        peer = new_peer()
        peer("kept = []")

        in_parts(peer, PUTS[kind])

        stats = store.stats()
        assert stats.objects == COUNT
        private, index = memory(pid) - before[0], index_bytes(pid) - before[1]
        with capsys.disabled():
            print(
                f"\n{COUNT:,} objects by {kind}: each takes {stats.used / COUNT:.0f} B of the heap, "
                f"{index / COUNT:.0f} B of the index and {private / COUNT:.0f} B of the store's own memory"
            )
        if kind == "names":
            assert [store.get(f"n{n}") for n in range(0, COUNT, COUNT // 10)] == list(range(0, COUNT, COUNT // 10))
        else:
            assert peer(f"[store.get(ref) for ref in kept[:: {COUNT // 10}]]") == list(range(0, COUNT, COUNT // 10))

        in_parts(peer, ENDS[kind])

        assert eventually(lambda: (store.stats().objects, store.stats().used) == (0, 0), 60)
        assert eventually(lambda: heap_bytes(pid) <= store.stats().reserve + store.stats().reserved)
