"""A packet that kills every store that reads it: it is dropped with its connection, and nobody else is harmed."""

from __future__ import annotations

import resource

import numpy as np
import pytest
from peers import Peer, PeerError, is_nothing_reserved

from jupyter_shm.client.store import Store
from jupyter_shm.testing.private import eventually


@pytest.fixture
def orders(runtime_folder, monkeypatch):
    """The file in which a store that is started now reads where it is to die."""
    path = runtime_folder / "orders"
    path.write_text("")
    monkeypatch.setenv("JUPYTER_SHM_TEST_CRASH", str(path))
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, before[1]))  # these crashes leave no core behind
    yield path
    resource.setrlimit(resource.RLIMIT_CORE, before)


@pytest.mark.parametrize("deaths", [["SIGSEGV"] * 2, ["SIGABRT", "SIGBUS"], ["SIGKILL"] * 5], ids=" ".join)
def test_a_packet_at_which_the_store_dies_again_and_again_is_dropped_with_its_connection(orders, deaths):
    with Store(capacity="64MiB") as store:
        ref, view = store.put(np.arange(1000)), None
        store.put(np.arange(2000), "kept")
        view = store.get("kept")
        culprit = Peer()
        try:
            culprit("held = store.get('kept')")
            orders.write_text("".join(f"Commit 0 {death}\n" for death in deaths))

            with pytest.raises(PeerError, match="ended this connection") as caught:
                culprit("store.put(np.zeros(10), 'x')")

            assert caught.value.kind == "StoreConnectionError"
            assert orders.read_text() == ""
            assert store.stats().starts == 1 + len(deaths)
            assert (store.get(ref).sum(), view.sum()) == (499_500, 1_999_000)
            assert "x" not in store
            assert culprit("store.put(np.zeros(10), 'x').version, int(held.sum())") == (1, 1_999_000)
        finally:
            culprit.close()
        assert eventually(lambda: store.stats().clients == 1)
        assert is_nothing_reserved(store)
        assert "again and again at one packet" in store._session.paths.log.read_text()
        store.shutdown(force=True)


def test_deaths_elsewhere_make_no_culprit_of_a_packet(orders):
    with Store(capacity="64MiB") as store:
        for number in range(4):
            orders.write_text("Commit 0 SIGSEGV\n")
            store.put(number, "x")
            orders.write_text("settle 0 SIGSEGV\n")
            store.put(-number, "x")
            assert eventually(lambda: orders.read_text() == "")
            assert store.get("x") == -number
        assert store.stats().starts == 9
        store.shutdown(force=True)
