"""A store that nobody uses for long keeps what was published, and gives the rest of its memory back."""

from __future__ import annotations

import numpy as np
import pytest
from peers import heap_bytes, spill_bytes
from store_processes import stores_of

from jupyter_shm import errors
from jupyter_shm.client.store import Store
from jupyter_shm.testing.private import eventually


def test_a_store_that_nobody_is_connected_to_gives_its_reserve_back(runtime_folder, monkeypatch):
    monkeypatch.setenv("JUPYTER_SHM_LINGER", "0.2s")
    with Store(capacity="256MiB") as store:
        store.put(np.arange(100_000), "x", pin=True)
        stats = store.stats()
        assert eventually(lambda: heap_bytes(stats.pid) > stats.used + (8 << 20)), "nothing was made ready"

    assert eventually(lambda: heap_bytes(stats.pid) == stats.used)

    assert list(stores_of(runtime_folder)) == [stats.pid]
    with Store(start=False) as store:
        assert store.get("x").sum() == 4_999_950_000
        assert eventually(lambda: store.stats().reserve > 0)


def test_what_is_not_pinned_is_on_disk_when_nobody_has_come_for_long(runtime_folder, monkeypatch):
    monkeypatch.setenv("JUPYTER_SHM_LINGER", "0.2s")
    with Store(capacity="256MiB") as store:
        store.put(np.arange(100_000), "x")
        store.put(np.arange(100_000), "pinned", pin=True)
        pid, used = store.stats().pid, store.stats().used

    assert eventually(lambda: 0 < heap_bytes(pid) < used)
    assert eventually(lambda: spill_bytes(pid) >= 800_000)

    with Store(start=False) as store:
        assert [(info.name, info.state) for info in store.list()] == [("x", "spilled"), ("pinned", "live")]
        assert store.get("x").sum() == store.get("pinned").sum() == 4_999_950_000
        assert [(event.kind, event.name) for event in store.events()][-1] == ("spill", "x")


def test_a_wrong_setting_is_told_to_whoever_starts_the_store(runtime_folder, monkeypatch):
    monkeypatch.setenv("JUPYTER_SHM_LINGER", "forever")

    with pytest.raises(errors.SettingError, match="JUPYTER_SHM_LINGER is 'forever'"):
        Store()
