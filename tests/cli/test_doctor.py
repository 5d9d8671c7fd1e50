"""``jupyter shm doctor``: the machine, the versions, the store."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from store_processes import stores_of

import jupyter_shm
from jupyter_shm.cli import pages
from jupyter_shm.client.store import Store
from jupyter_shm.linux.machine import machine_facts


def facts(text: str) -> dict[str, tuple[str, str]]:
    """Verdict and value by name, as a reader of the plain text sees them."""
    lines = [line for line in text.splitlines() if not line.startswith(" ")]
    width = text.index(jupyter_shm.__version__) - 6
    return {line[6:][:width].strip(): (line[:6].strip(), line[6:][width:]) for line in lines}


def test_doctor_tells_what_the_machine_allows_and_which_versions_are_here(cli, runtime_folder: Path):
    done = cli("doctor")

    found = facts(done.stdout)
    assert found["jupyter_shm"] == ("ok", jupyter_shm.__version__)
    assert found["numpy"] == ("ok", version("numpy"))
    assert found["python"][1].endswith(sys.version.split()[0])
    assert found["runtime folder"] == ("ok", str(runtime_folder))
    assert {fact.name for fact in machine_facts()} <= set(found)
    assert done.stderr == ""


def test_doctor_tells_what_is_there_for_browsers(cli):
    found = facts(cli("doctor").stdout)

    verdict, value = found["JupyterLab"]
    assert value.startswith(f"jupyterlab {version('jupyterlab')}")
    assert verdict == ("warn" if "without" in value else "ok")
    assert found["panel in notebooks"][1] in ("there", "its page is missing")


def test_doctor_says_where_to_install_it_for_a_jupyterlab_elsewhere(monkeypatch):
    monkeypatch.setattr(pages, "version", lambda name: (_ for _ in ()).throw(PackageNotFoundError(name)))

    (fact,) = [fact for fact in pages.page_facts() if fact.name == "JupyterLab"]

    assert (fact.verdict, fact.value) == ("ok", "not in this environment")
    assert "install jupyter_shm too" in fact.advice


def test_doctor_warns_of_a_jupyterlab_that_lacks_what_was_not_built(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(pages.sys, "prefix", str(tmp_path))
    monkeypatch.setattr(pages.site, "getuserbase", lambda: str(tmp_path))

    (fact,) = [fact for fact in pages.page_facts() if fact.name == "JupyterLab"]

    assert fact.verdict == "warn"
    assert "JUPYTER_SHM_LABEXTENSION=force" in fact.advice


def test_doctor_tells_what_is_kept_warm_and_of_which_pages(cli, monkeypatch):
    monkeypatch.delenv("JUPYTER_SHM_RESERVE", raising=False)
    assert facts(cli("doctor").stdout)["warm reserve"][1].endswith(" (default)")

    monkeypatch.setenv("JUPYTER_SHM_RESERVE", "64MiB")
    found = facts(cli("doctor").stdout)

    assert found["warm reserve"] == ("ok", "64.0 MiB (JUPYTER_SHM_RESERVE)")
    assert found["huge pages"][0] in ("ok", "warn")


def test_a_reserve_that_is_no_size_is_bad(cli, monkeypatch):
    monkeypatch.setenv("JUPYTER_SHM_RESERVE", "much")

    done = cli("doctor")

    assert done.returncode == 1
    assert facts(done.stdout)["warm reserve"] == ("bad", "refused")


def test_doctor_fails_exactly_if_something_is_bad(cli):
    done = cli("doctor")

    assert done.returncode == int("bad" in {verdict for verdict, _ in facts(done.stdout).values()})


def test_doctor_starts_no_store(cli, runtime_folder: Path):
    found = facts(cli("doctor").stdout)

    assert found["store 'default'"] == ("ok", "not running; its first use starts it")
    assert stores_of(runtime_folder) == {}


def test_doctor_tells_the_state_of_the_store_that_runs(cli, store: Store, runtime_folder: Path):
    store.put(np.zeros(2 << 20), "grid")  # 16 MiB

    found = facts(cli("doctor").stdout)

    (pid,) = stores_of(runtime_folder)
    assert found["store 'default'"][1].startswith(f"pid {pid}, jupyter_shm {jupyter_shm.__version__}")
    assert found["used"][1].endswith(" of 64.0 MiB (25%)")
    assert found["objects"] == ("ok", "1, 1 of them named")
    assert found["clients"] == ("ok", "1 besides this command")
    assert found["log"] == ("ok", f"{runtime_folder}/default.log")


def test_a_store_of_another_wire_version_is_bad(cli, foreign):
    foreign()

    done = cli("doctor")

    assert done.returncode == 1
    assert facts(done.stdout)["store 'default'"][0] == "bad"
    assert "wire version 99" in done.stdout
    assert done.stderr == ""


def test_a_runtime_folder_that_is_open_to_others_is_bad(cli, runtime_folder: Path):
    runtime_folder.chmod(0o755)

    done = cli("doctor")

    runtime_folder.chmod(0o700)
    assert done.returncode == 1
    assert f"chmod 700 {runtime_folder}" in done.stdout
