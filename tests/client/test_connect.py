"""Connecting, closing, several stores, and the module-level functions."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import warnings
import weakref

import numpy as np
import pytest
from peers import ROOT, PeerError, is_alive, run

import jupyter_shm as shm
from jupyter_shm import errors
from jupyter_shm.client import default, session
from jupyter_shm.client.store import Store
from jupyter_shm.testing.private import eventually


@pytest.fixture
def default_store(runtime_folder):
    """The default store of this process, for this test only."""
    yield default.default_store()
    default._stores.pop("default").close()


def test_another_capacity_than_the_running_store_has_warns_and_connects(store):
    with pytest.warns(UserWarning, match=r"256.0 MiB.*512.0 MiB.*jupyter shm set capacity"):
        other = shm.connect(capacity="512MiB")
    with other:
        assert other.stats().capacity == 256 << 20


def test_the_same_capacity_does_not_warn(store):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shm.connect(capacity=256 << 20).close()
        shm.connect(capacity="256MiB").close()
        shm.connect().close()


@pytest.mark.parametrize("connect", [Store, shm.connect])
def test_the_warning_points_to_the_line_that_connects(store, connect):
    with pytest.warns(UserWarning, match="runs already") as caught:
        connect(capacity=1 << 20).close()

    assert caught[0].filename == __file__


@pytest.mark.parametrize("capacity", ["lots", "", 0, -1, "1 parsec", True])
def test_a_capacity_that_is_no_size_is_refused_before_anything_starts(runtime_folder, capacity):
    with pytest.raises(errors.SettingError, match="capacity"):
        Store(capacity=capacity)
    assert list(runtime_folder.iterdir()) == []


@pytest.mark.parametrize("name", ["", "a b", "../up", "x" * 41, ".hidden", "ä"])
def test_a_store_name_that_is_no_file_name_is_refused(runtime_folder, name):
    with pytest.raises(errors.SettingError, match="store name"):
        Store(name)


def test_stores_of_different_names_share_nothing(runtime_folder):
    with Store("one", capacity="64MiB") as one, Store("two", capacity="64MiB") as two:
        one["x"] = 1
        two["x"] = 2

        assert (one["x"], two["x"]) == (1, 2)
        assert one.stats().pid != two.stats().pid
        one.shutdown()
        assert two["x"] == 2


def test_the_environment_names_the_store(runtime_folder, new_peer):
    peer = new_peer(environment={"JUPYTER_SHM_STORE": "other", "JUPYTER_SHM_CAPACITY": "32MiB"})
    peer("store.put(7, 'x')")

    with Store("other") as other:
        assert other["x"] == 7
        assert other.stats().capacity == 32 << 20
    assert peer("store.name") == "other"


def test_a_closed_store_takes_no_call_and_its_views_stay(store):
    store.put(np.arange(100_000), "x")
    view = store.get("x")
    closing = shm.connect()
    other = closing.get("x")

    closing.close()
    closing.close()

    assert "closed" in repr(closing)
    for call in (
        lambda: closing.get("x"),
        lambda: closing.put(1),
        lambda: closing.delete("x"),
        closing.list,
        closing.stats,
        lambda: closing.info("x"),
        lambda: closing.wait(["x"]),
        lambda: "x" in closing,
        lambda: len(closing),
        closing.shutdown,
    ):
        with pytest.raises(errors.ClosedError, match="connect"):
            call()
    assert view.sum() == other.sum() == 4_999_950_000


def test_the_connection_ends_when_the_last_view_of_a_closed_store_goes(store):
    store.put(np.arange(1000), "x")
    other = shm.connect()
    view = other.get("x")
    other.close()
    assert store.stats().clients == 2

    del view

    assert eventually(lambda: store.stats().clients == 1)
    assert len(session._sessions) == 1


def test_letting_go_of_a_store_ends_its_connection(store):
    other = shm.connect()
    gone = weakref.ref(other)
    assert store.stats().clients == 2

    del other
    gc.collect()

    assert gone() is None
    assert eventually(lambda: store.stats().clients == 1)


def test_a_context_manager_closes_at_its_end_whatever_happens(store):
    with pytest.raises(ZeroDivisionError), shm.connect() as other:
        raise ZeroDivisionError

    assert other.is_closed
    assert eventually(lambda: store.stats().clients == 1)


def test_shutdown_is_refused_while_other_processes_are_connected_and_names_them(store, peer):
    store.put(1, "x")

    with pytest.raises(errors.StoreInUseError, match=rf"peer_loop.py \(pid {peer.pid}\)"):
        store.shutdown()

    assert peer("store.get('x')") == 1
    assert store["x"] == 1


def test_shutdown_asks_only_other_processes(store):
    other = shm.connect()
    pid = store.stats().pid

    store.shutdown()

    assert eventually(lambda: not is_alive(pid))
    assert store.is_closed
    other.close()


def test_a_forced_shutdown_ends_the_store_under_others(store, peer):
    store.put(np.arange(100_000), "x")
    peer("x = store.get('x')")
    pid = store.stats().pid

    store.shutdown(force=True)

    assert eventually(lambda: not is_alive(pid))
    assert peer("int(x.sum())") == 4_999_950_000
    peer("store.put(1, 'new')")
    assert peer("store.stats().pid") != pid, "the next call starts afresh"
    assert peer("store.keys()") == ["new"]


def test_after_shutdown_the_next_store_starts_at_once(runtime_folder):
    pids = set()
    for _ in range(5):
        store = Store(capacity="64MiB")
        pids.add(store.stats().pid)
        store.shutdown()
    assert len(pids) == 5


def test_the_module_level_functions_use_one_connection(default_store):
    ref = shm.put(np.arange(10), "x")
    assert shm.get("x").sum() == 45
    assert shm.get(ref, copy=True).sum() == 45
    assert shm.get("missing", default=3) == 3
    assert shm.wait(["x"]) == (["x"], [])
    assert shm.info("x").reads == 2
    assert [info.name for info in shm.list("x*", anonymous=True)] == ["x"]
    assert shm.stats().clients == 1
    shm.delete("x")
    with pytest.raises(shm.errors.ObjectNotFoundError):
        shm.get("x")


def test_the_default_store_is_connected_anew_after_it_was_closed(default_store):
    default_store.close()

    shm.put(1, "x")

    assert shm.get("x") == 1


def test_the_public_names_can_be_imported_and_listed():
    for name in shm.__all__:
        assert name in dir(shm)
        if "ipython_extension" not in name:
            assert getattr(shm, name) is not None
    assert shm.Store is Store
    with pytest.raises(AttributeError, match="no_such_name"):
        shm.no_such_name  # noqa: B018 - it raises


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, jupyter_shm; print(*sorted({'IPython', 'asyncio', 'ipywidgets', 'pandas', 'rich'} & set(sys.modules)))"

    assert run(code) == (0, "", "")


def test_a_process_that_ends_with_stores_views_and_refs_open_says_nothing(store):
    store.put(np.arange(100_000), "x")
    code = """
        import jupyter_shm as shm, numpy as np
        a, b = shm.connect(), shm.connect()
        x = a.get("x"); y = b.get("x", mode="c")[5:]; r = a.put(np.zeros(10)); keep = [x, y, r]
        keep.append(keep)
        shm.put({1: x}, "mine")
    """

    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", "\n".join(line.strip() for line in code.splitlines())],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert eventually(lambda: store.stats().clients == 1)
    assert store.keys() == ["mine", "x"]


def test_an_error_keeps_its_class_through_pickle(store, peer):
    import pickle

    for error in (errors.ObjectNotFoundError("a text"), errors.StoreFullError("b")):
        copied = pickle.loads(pickle.dumps(error))
        assert (type(copied), str(copied), copied.reason) == (type(error), str(error), error.reason)
    with pytest.raises(PeerError, match="ObjectNotFoundError"):
        peer("store.get('missing')")
