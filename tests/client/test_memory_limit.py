"""Under a limit of memory a put is refused, or others leave for it; never is anybody killed."""

from __future__ import annotations

import pytest
from memory_group import MemoryGroup, memory_group
from store_processes import end_stores_of

LIMIT = 400 << 20
PUT = 40 << 20
START = """
    import os; import numpy as np; import jupyter_shm as shm
    from jupyter_shm import errors
"""


@pytest.fixture
def group():
    with memory_group() as group:
        group.limit(LIMIT)
        yield group


@pytest.fixture
def limited(group: MemoryGroup, runtime_folder, new_peer):
    """Starts a peer in the group; its store has a larger capacity than the limit allows."""

    def start(**environment: str):
        peer = new_peer(START, environment=environment)
        group.add(peer.pid)
        peer(f"store = shm.connect(capacity={4 * LIMIT})")
        return peer

    yield start
    end_stores_of(runtime_folder)


def test_a_put_beyond_the_limit_is_refused_with_the_memory_that_there_is(group, limited):
    peer = limited(JUPYTER_SHM_SPILL_DIR="off")
    done, available, asked, text = peer(f"""
        done = 0
        try:
            while True:
                store.put(np.full({PUT} // 8, done), f"n{{done}}")
                done += 1
        except errors.StoreFullError as error:
            refusal = error
        done, refusal.available, refusal.asked, str(refusal)
    """)

    assert done > 2
    assert asked > available
    assert "of memory left" in text
    assert peer("all((store.get(f'n{n}') == n).all() for n in range(done))")
    assert peer("store.stats().starts") == 1
    assert group.kills() == 0
    assert peer.close() == 0


def test_more_than_the_limit_passes_through_when_others_can_leave(group, limited):
    peer = limited()
    refused = peer(f"""
        refused = 0
        for n in range(60):
            try:
                store.put(np.full({PUT} // 8, n), f"n{{n % 20}}")
            except errors.StoreFullError:
                refused += 1
        refused
    """)
    spilled, starts = peer("store.stats().spilled, store.stats().starts")

    assert group.kills() == 0
    assert starts == 1
    assert spilled > 0
    assert refused < 20
    assert peer("all((store.get(name) == store.get(name)[0]).all() for name in store.keys())")
    assert group.kills() == 0
    assert peer.close() == 0
