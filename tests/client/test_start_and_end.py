"""How a store comes to be and ends: once per name, race-free, found again after cleaners, and readably when it fails."""

from __future__ import annotations

import os
import shutil
import signal
import stat
from pathlib import Path

import numpy as np
import pytest
from peers import Peer, kill_store_and_keeper, run
from store_processes import processes_of, stores_of

import jupyter_shm as shm
from jupyter_shm import errors
from jupyter_shm.client.store import Store
from jupyter_shm.testing.private import eventually


def test_twelve_processes_that_connect_at_once_start_one_store(runtime_folder):
    peers = [Peer(wait=False) for _ in range(12)]
    try:
        for peer in peers:
            peer.answer()
        pids = {peer("store.stats().pid") for peer in peers}
    finally:
        for peer in peers:
            peer.close()

    assert len(pids) == 1
    assert set(stores_of(runtime_folder)) == pids


def test_connecting_again_and_again_while_the_store_is_being_stopped_always_works(runtime_folder):
    peers = [Peer(wait=False) for _ in range(3)]
    try:
        for peer in peers:
            peer.answer()
            peer.send("""
                for n in range(15):
                    try:
                        with shm.connect() as other:
                            other.put(n, 'x')
                            other.shutdown(force=True)
                    except shm.errors.StoreConnectionError:
                        pass  # somebody else ended it in between
            """)
        for peer in peers:
            peer.answer()
    finally:
        for peer in peers:
            peer.close()
    assert eventually(lambda: len(stores_of(runtime_folder)) <= 1)


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701, 0o500])
def test_a_runtime_folder_that_is_open_to_others_is_refused(runtime_folder, mode):
    runtime_folder.chmod(mode)
    try:
        with pytest.raises(errors.PeerRefusedError, match=f"{mode:04o}.*chmod 700"):
            Store()
    finally:
        runtime_folder.chmod(0o700)


def test_a_socket_file_that_a_killed_store_left_is_replaced(store, runtime_folder):
    first = store.stats().pid
    kill_store_and_keeper(first)
    assert (runtime_folder / "default.sock").exists()

    with Store() as other:
        assert other.stats().pid != first
        assert len(stores_of(runtime_folder)) == 1


def test_the_log_and_the_socket_are_private(store, runtime_folder):
    for name in ("default.log", "default.sock", "default.lock"):
        assert stat.S_IMODE((runtime_folder / name).stat().st_mode) == 0o600, name
    assert f"pid {store.stats().pid}" in (runtime_folder / "default.log").read_text()


def test_a_socket_that_a_cleaner_removed_is_bound_again(store, runtime_folder):
    store.put(1, "x")

    (runtime_folder / "default.sock").unlink()

    assert eventually((runtime_folder / "default.sock").exists)
    with Store() as other:
        assert other.get("x") == 1
    assert len(stores_of(runtime_folder)) == 1


def test_a_whole_folder_that_a_cleaner_removed_is_made_again(store, runtime_folder):
    store.put(1, "x")
    pid = store.stats().pid

    # Moved away first: the store is back sooner than its folder can be emptied.
    gone = runtime_folder.rename(f"{runtime_folder}-gone")
    shutil.rmtree(gone)

    assert eventually((runtime_folder / "default.sock").exists)
    with Store() as other:
        assert (other.get("x"), other.stats().pid) == (1, pid)
    assert len(stores_of(runtime_folder)) == 1


@pytest.mark.parametrize("what", ["default.lock", "default.log"])
def test_other_files_that_a_cleaner_removed_do_no_harm(store, runtime_folder, what):
    pid = store.stats().pid
    (runtime_folder / what).unlink()

    # The watch works in the background: whoever comes meanwhile must find the same store.
    for _ in range(20):
        with Store() as other:
            assert other.stats().pid == pid
    assert len(stores_of(runtime_folder)) == 1


def test_removing_socket_and_lock_while_others_connect_never_makes_two_stores(store, runtime_folder):
    pid = store.stats().pid
    for _ in range(10):
        for name in ("default.sock", "default.lock"):
            (runtime_folder / name).unlink(missing_ok=True)
        assert eventually((runtime_folder / "default.sock").exists)
        with Store() as other:
            assert other.stats().pid == pid
    assert len(stores_of(runtime_folder)) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_store_in_peace(store, runtime_folder, number):
    store.put(np.full(1000, 5), "x")
    view = store.get("x")
    pid = store.stats().pid

    os.kill(pid, number)

    assert eventually(lambda: not stores_of(runtime_folder))
    assert not (runtime_folder / "default.sock").exists()
    log = (runtime_folder / "default.log").read_text()
    assert number.name in log
    assert "Traceback" not in log
    assert (view == 5).all()


@pytest.mark.parametrize(
    "end", [kill_store_and_keeper, lambda pid: os.kill(pid, signal.SIGTERM)], ids=["SIGKILL", "SIGTERM"]
)
def test_after_the_end_of_the_store_its_store_objects_start_afresh(store, runtime_folder, end):
    store.put(1, "x")
    first = store.stats().pid
    end(first)
    assert eventually(lambda: not stores_of(runtime_folder))

    with pytest.warns(errors.StoreLostWarning, match=f"pid {first}.*gone.*stay valid"):
        assert store.stats().pid != first

    assert "x" not in store
    store.put(2, "x")
    assert store.get("x") == 2


def test_the_warning_of_a_lost_store_points_to_the_line_that_called(store):
    kill_store_and_keeper(store.stats().pid)

    with pytest.warns(errors.StoreLostWarning) as caught:
        store.stats()

    assert caught[0].filename == __file__


def told_get(store, end):
    """What a process gets that is told of a put into the store that came after its own."""
    store.put("old", "x")
    assert store.get("x") == "old"
    end(store.stats().pid)
    with shm.connect(capacity="256MiB") as other:
        other.put("new", "x")
        with pytest.warns(errors.StoreLostWarning):
            return store.get("x")


def test_after_a_shutdown_nobody_gets_what_the_ended_store_held(store, runtime_folder):
    def end(pid):
        with shm.connect() as other:
            other.shutdown(force=True)

    assert told_get(store, end) == "new"


def test_after_a_kill_nobody_gets_what_the_killed_store_held(store, runtime_folder):
    assert told_get(store, kill_store_and_keeper) == "new"


@pytest.mark.parametrize("setting", ["lots", "-5", "0", "12 parsec"])
def test_a_capacity_setting_that_is_none_fails_readably(runtime_folder, monkeypatch, setting):
    monkeypatch.setenv("JUPYTER_SHM_CAPACITY", setting)

    with pytest.raises(errors.SettingError, match=f"JUPYTER_SHM_CAPACITY.*{setting}"):
        Store()

    assert eventually(lambda: not processes_of(runtime_folder))
    monkeypatch.delenv("JUPYTER_SHM_CAPACITY")
    Store().close()


def test_a_store_that_cannot_start_fails_with_the_end_of_its_log(runtime_folder):
    code = """
        import os, sys, jupyter_shm as shm
        from jupyter_shm.client.store import Store
        os.environ["PYTHONHOME"] = "/nowhere"
        try:
            Store()
        except shm.errors.StoreStartError as error:
            print(error)
    """

    status, out, err = run(code)

    assert (status, err) == (0, "")
    assert "did not start" in out
    assert "default.log" in out
    assert eventually(lambda: not processes_of(runtime_folder))


def test_a_process_can_start_a_store_whatever_it_does_with_its_children(runtime_folder):
    code = """
        import signal, jupyter_shm as shm
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        store = shm.connect()
        print(store.stats().objects)
    """

    assert run(code)[1:] == ("0", "")


def test_a_store_outlives_the_terminal_and_the_process_that_started_it(runtime_folder, new_peer):
    first = new_peer()
    first("store.put(1, 'x')")
    first.kill()

    with Store() as store:
        assert store.get("x") == 1


def test_the_current_folder_of_the_starter_is_not_kept_busy(runtime_folder, tmp_path):
    status, out, _ = run("import os, sys; os.chdir(sys.argv[1]); import jupyter_shm as shm; print(shm.connect().stats().pid)",
                         str(tmp_path))  # fmt: skip

    assert status == 0
    assert str(Path(f"/proc/{out}/cwd").readlink()) == "/"
