"""``jupyter shm set capacity``: applies while the store runs, outlives its process, and loses nothing."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from test_doctor import facts

from jupyter_shm import errors
from jupyter_shm.client.store import Store
from jupyter_shm.testing.private import eventually

MIB = 1 << 20


def kill_store(store: Store) -> None:
    stats = store.stats()
    os.kill(stats.pid, signal.SIGKILL)
    assert eventually(lambda: store.stats().starts == stats.starts + 1)


def test_a_larger_capacity_takes_what_did_not_fit(cli, store: Store):
    with pytest.raises(errors.StoreFullError):
        store.put(np.zeros(10 * MIB), "x")

    done = cli("set", "capacity", "128MiB")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "capacity 128.0 MiB; 0 B are in use\n"
    store.put(np.zeros(10 * MIB), "x")
    assert store.stats().capacity == 128 * MIB


def test_it_outlives_the_process_of_the_store(cli, store: Store):
    cli("set", "capacity", "48MiB")

    kill_store(store)

    assert store.stats().capacity == 48 * MIB
    with pytest.warns(
        UserWarning, match=r"runs already with a capacity of 48.0 MiB.*jupyter shm set capacity 67108864"
    ):
        Store(capacity="64MiB").close()


def test_a_smaller_capacity_spills_what_nobody_reads_and_loses_nothing(cli, store: Store):
    for value in range(6):
        store.put(np.full(MIB, value), f"n{value}")
    view = store.get("n0")

    done = cli("set", "capacity", "16MiB")

    assert done.returncode == 0
    assert done.stdout.startswith("capacity 16.0 MiB; ")
    assert eventually(lambda: store.stats().used <= 16 * MIB)
    stats = store.stats()
    assert stats.spilled_objects >= 4
    assert store.info("n0").state == "live", "it is read"
    assert all((store.get(f"n{value}") == value).all() for value in range(6))
    assert (view == 0).all()


def test_a_smaller_capacity_gives_the_reserve_up_first(cli, store: Store):
    for value in range(2):
        store.put(np.full(MIB, value), f"n{value}")
    assert eventually(lambda: store.stats().reserve)

    cli("set", "capacity", "17MiB")

    assert eventually(lambda: store.stats().used + store.stats().reserve <= 17 * MIB)
    assert store.stats().spilled_objects == 0


def test_what_is_read_stays_and_puts_are_refused_until_it_fits(cli, store: Store):
    store.put(np.zeros(4 * MIB), "x")
    view = store.get("x")

    done = cli("set", "capacity", "16MiB")

    assert "capacity 16.0 MiB; 32.0 MiB are in use" in done.stdout
    assert done.stdout.splitlines()[1:] == ["what nobody reads is being spilled to disk"]
    with pytest.raises(errors.StoreFullError) as caught:
        store.put(np.zeros(MIB), "y")
    assert caught.value.capacity == 16 * MIB
    assert (view == 0).all()
    del view
    store.put(np.zeros(MIB), "y")


@pytest.mark.parametrize("size", ["0", "-5MB", "much", "1EB"])
def test_what_is_no_size_is_refused(cli, store: Store, size: str):
    done = cli("set", "capacity", size)

    assert done.returncode == 2
    assert done.stdout == ""
    assert store.stats().capacity == 64 * MIB


@pytest.mark.parametrize(("size", "text"), [("900TB", "more than the"), ("4KiB", "is of no use; the least is 1.0 MiB")])
def test_what_makes_no_sense_is_refused_with_the_reason(cli, store: Store, size: str, text: str):
    done = cli("set", "capacity", size)

    assert (done.returncode, done.stdout) == (1, "")
    assert text in done.stderr
    assert store.stats().capacity == 64 * MIB


def test_without_a_store_there_is_nothing_to_set(cli):
    assert cli("set", "capacity", "1GB").returncode == 3


def test_a_setting_that_does_not_exist_is_told(cli, store: Store):
    done = cli("set", "colour", "red")

    assert done.returncode == 2
    assert "capacity" in done.stderr


# --- doctor -------------------------------------------------------------------------------------------------------------


def test_doctor_tells_where_is_spilled_and_how_much_that_may_be(cli, store: Store):
    found = facts(cli("doctor").stdout)

    assert found["spill heap"][0] == "ok"
    assert found["spill heap"][1].startswith("in /var/tmp, at most ")
    assert found["spilled"][1].startswith("0 B of at most ")


def test_doctor_warns_where_nothing_can_be_spilled(cli, runtime_folder, monkeypatch):
    monkeypatch.setenv("JUPYTER_SHM_SPILL_DIR", "/nowhere")
    with Store(capacity="64MiB"):
        done = cli("doctor")

    found = facts(done.stdout)
    assert found["spill heap"] == ("warn", "no file can be made in /nowhere: No such file or directory")
    assert found["spilled"][0] == "warn"
    assert "name a folder on a disk" in done.stdout


def test_doctor_takes_it_as_it_is_where_spilling_is_turned_off(cli, runtime_folder, monkeypatch):
    monkeypatch.setenv("JUPYTER_SHM_SPILL_DIR", "off")
    with Store(capacity="64MiB"):
        found = facts(cli("doctor").stdout)

    assert found["spill heap"] == ("ok", "off (JUPYTER_SHM_SPILL_DIR)")
    assert found["spilled"] == ("ok", "nothing: JUPYTER_SHM_SPILL_DIR turns it off")
