from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

import pytest
from children import eventually, start

from jupyter_shm.errors import PeerRefusedError, SettingError
from jupyter_shm.linux import packets, runtime

HOLDER = """
    import os, sys
    from pathlib import Path
    from jupyter_shm.linux import runtime
    fd = runtime.take_lock(Path(sys.argv[1]), wait=sys.argv[2:] == ["wait"])
    print("none" if fd is None else "held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def chosen(runtime_folder, monkeypatch):
    """A folder that does not exist yet, chosen by the setting."""
    folder = runtime_folder / "chosen"
    monkeypatch.setenv("JUPYTER_SHM_RUNTIME_DIR", str(folder))
    return folder


@pytest.fixture
def lock(runtime_folder):
    return runtime_folder / "test.lock"


def waits_for_a_lock(pid: int) -> bool:
    lines = Path("/proc/locks").read_text().splitlines()
    return any("-> FLOCK" in line and f" {pid} " in line for line in lines)


# --- The folder -------------------------------------------------------------------------------------------------------


def test_the_folder_is_made_for_its_owner_only(chosen):
    assert runtime.runtime_folder() == chosen
    assert stat.S_IMODE(chosen.stat().st_mode) == 0o700
    assert runtime.runtime_folder() == chosen


def test_without_the_setting_the_folder_is_named_after_the_user(monkeypatch):
    monkeypatch.delenv("JUPYTER_SHM_RUNTIME_DIR")

    # Not created here: it belongs to the person who runs the tests.
    assert runtime._chosen_folder() == f"/tmp/jupyter-shm-{os.getuid()}"


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701, 0o777, 0o500, 0o600])
def test_a_folder_open_to_others_or_closed_to_us_is_refused_with_its_cure(chosen, mode):
    chosen.mkdir()
    chosen.chmod(mode)

    with pytest.raises(PeerRefusedError) as refused:
        runtime.runtime_folder()

    assert f"{mode:04o}" in str(refused.value)
    assert f"uid {os.getuid()}" in str(refused.value)
    assert f"chmod 700 {chosen}" in str(refused.value)


def test_an_inherited_group_bit_opens_nothing(chosen):
    chosen.mkdir()
    chosen.chmod(0o2700)

    assert runtime.runtime_folder() == chosen


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(chosen):
    chosen.mkdir(0o700)
    os.chown(chosen, 12345, -1)

    with pytest.raises(PeerRefusedError, match=r"belongs to uid 12345.*JUPYTER_SHM_RUNTIME_DIR"):
        runtime.runtime_folder()


def test_a_link_is_refused_even_to_a_good_folder(chosen, runtime_folder):
    (runtime_folder / "real").mkdir(0o700)
    chosen.symlink_to(runtime_folder / "real")

    with pytest.raises(PeerRefusedError, match="symbolic link"):
        runtime.runtime_folder()


def test_a_file_is_refused(chosen):
    chosen.write_text("")

    with pytest.raises(PeerRefusedError, match="no folder"):
        runtime.runtime_folder()


def test_a_folder_that_cannot_be_made_is_a_wrong_setting(chosen, monkeypatch):
    monkeypatch.setenv("JUPYTER_SHM_RUNTIME_DIR", str(chosen / "deeper"))

    with pytest.raises(SettingError, match="JUPYTER_SHM_RUNTIME_DIR"):
        runtime.runtime_folder()


def test_a_relative_folder_is_refused(monkeypatch):
    monkeypatch.setenv("JUPYTER_SHM_RUNTIME_DIR", "here")

    with pytest.raises(SettingError, match="absolute"):
        runtime.runtime_folder()


# --- Names ------------------------------------------------------------------------------------------------------------


def test_the_store_is_named_by_the_caller_then_by_the_setting_then_default(monkeypatch):
    assert runtime.store_name() == "default"
    monkeypatch.setenv("JUPYTER_SHM_STORE", "mine")

    assert runtime.store_name() == "mine"
    assert runtime.store_name("yours") == "yours"


def test_an_empty_setting_is_no_setting(monkeypatch):
    monkeypatch.setenv("JUPYTER_SHM_STORE", "")

    assert runtime.store_name() == "default"


@pytest.mark.parametrize("name", ["a", "A-1_b.c", "0", "x" * 40])
def test_good_names_are_taken(name):
    assert runtime.store_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "-x", "_x", "a/b", "a b", "a\n", "ä", "x" * 41, "a\0"])
def test_names_that_could_lead_out_of_the_folder_or_are_too_long_are_refused(name):
    with pytest.raises(SettingError, match="store name"):
        runtime.store_name(name)
    with pytest.raises(SettingError, match="store name"):
        runtime.store_paths(name)


def test_a_bad_name_in_the_setting_is_laid_at_the_settings_door(monkeypatch):
    monkeypatch.setenv("JUPYTER_SHM_STORE", "../x")

    with pytest.raises(SettingError, match="JUPYTER_SHM_STORE"):
        runtime.store_name()


def test_the_files_of_a_store_lie_in_the_folder(chosen):
    paths = runtime.store_paths("mine")

    assert (paths.socket, paths.lock, paths.log) == (chosen / "mine.sock", chosen / "mine.lock", chosen / "mine.log")
    assert paths.address == str(paths.socket)
    assert chosen.is_dir()


def test_a_path_too_long_for_a_socket_names_the_setting_and_makes_no_folder(chosen, monkeypatch):
    long = chosen.with_name("x" * 100)
    monkeypatch.setenv("JUPYTER_SHM_RUNTIME_DIR", str(long))

    with pytest.raises(SettingError, match=r"107.*JUPYTER_SHM_RUNTIME_DIR"):
        runtime.store_paths("mine")

    assert not long.exists()


def test_the_longest_path_can_be_bound(chosen, monkeypatch):
    exact = chosen.with_name("x" * (107 - len(f"{chosen.parent}//a.sock")))
    monkeypatch.setenv("JUPYTER_SHM_RUNTIME_DIR", str(exact))

    path = runtime.store_paths("a").socket

    assert len(str(path)) == 107
    packets.listen(path).close()


# --- The lock ---------------------------------------------------------------------------------------------------------


def test_the_lock_is_exclusive_across_processes_and_free_when_its_holder_dies(lock):
    with start(HOLDER, lock) as holder:
        assert holder.stdout.readline() == "held\n"
        assert runtime.take_lock(lock, wait=False) is None
        holder.kill()
        holder.wait()

    fd = runtime.take_lock(lock, wait=False)

    assert fd is not None
    os.close(fd)


def test_the_lock_is_exclusive_within_a_process(lock):
    fd = runtime.take_lock(lock, wait=False)

    assert runtime.take_lock(lock, wait=False) is None
    os.close(fd)


def test_the_lock_is_close_on_exec_and_private(lock):
    fd = runtime.take_lock(lock, wait=True)

    assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o600
    os.close(fd)


def test_waiting_for_the_lock_ends_when_the_holder_lets_go(lock):
    fd = runtime.take_lock(lock, wait=True)
    with start(HOLDER, lock, "wait") as waiter:
        eventually(lambda: waits_for_a_lock(waiter.pid))
        os.close(fd)

        assert waiter.stdout.readline() == "held\n"
        waiter.stdin.close()


def test_a_lock_on_a_file_that_was_removed_while_waiting_is_not_taken_for_the_lock(lock):
    old = runtime.take_lock(lock, wait=True)
    with start(HOLDER, lock, "wait") as waiter:
        eventually(lambda: waits_for_a_lock(waiter.pid))
        lock.unlink()
        new = runtime.take_lock(lock, wait=False)
        os.close(old)  # the waiter gets the lock of a file that nobody finds any more

        eventually(lambda: waits_for_a_lock(waiter.pid))  # and waits for the new one instead
        os.close(new)
        assert waiter.stdout.readline() == "held\n"
        assert runtime.take_lock(lock, wait=False) is None
        waiter.stdin.close()


def test_a_holder_notices_that_its_file_was_removed_and_can_take_the_lock_again(lock):
    fd = runtime.take_lock(lock, wait=True)
    assert runtime.holds_lock(lock, fd)

    lock.unlink()
    assert not runtime.holds_lock(lock, fd)
    again = runtime.take_lock(lock, wait=False)
    assert not runtime.holds_lock(lock, fd)

    assert runtime.holds_lock(lock, again)
    assert runtime.take_lock(lock, wait=False) is None
    os.close(fd)
    os.close(again)


def test_a_link_in_place_of_the_lock_is_not_followed(lock, runtime_folder):
    lock.symlink_to(runtime_folder / "elsewhere")

    with pytest.raises(OSError, match="Too many levels"):
        runtime.take_lock(lock, wait=False)

    assert not (runtime_folder / "elsewhere").exists()
