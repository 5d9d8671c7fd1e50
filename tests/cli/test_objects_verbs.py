"""``jupyter shm ls``, ``info`` and ``rm``, and what every verb does with words and errors."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from commands import CLI
from store_processes import stores_of

from jupyter_shm.client.store import Store


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line on stderr, without who says it."""
    assert done.stderr.startswith("jupyter shm: ")
    assert done.stderr.count("\n") == 1
    return done.stderr.removeprefix("jupyter shm: ").strip()


# --- no store ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["ls"], ["info", "x"], ["rm", "x"], ["stop"], ["stop", "--force"]], ids=" ".join)
def test_a_verb_that_looks_or_ends_starts_no_store(cli, runtime_folder: Path, words: list[str]):
    done = cli(*words)

    assert (done.returncode, done.stdout) == (3, "")
    assert complaint(done) == "no store 'default' is running"
    assert stores_of(runtime_folder) == {}


def test_the_store_that_does_not_run_is_named(cli):
    assert complaint(cli("ls", "--store", "other")) == "no store 'other' is running"
    assert complaint(cli("--store", "other", "ls")) == "no store 'other' is running"


def test_the_store_is_taken_from_the_environment(cli, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JUPYTER_SHM_STORE", "third")

    assert complaint(cli("ls")) == "no store 'third' is running"
    assert complaint(cli("ls", "--store", "other")) == "no store 'other' is running"


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "VERB"),
        (["fly"], "invalid choice: 'fly'"),
        (["ls", "--anon"], "unrecognized arguments: --anon"),
        (["pin"], "required: name"),
        (["start", "--capacity", "lots"], "is 'lots'; expected a number of bytes above 0"),
        (["ls", "--store", "a/b"], "store name 'a/b' cannot be used"),
        (["--store", "", "ls"], "store name '' cannot be used"),
    ],
    ids=["nothing", "verb", "abbreviation", "no-name", "capacity", "store", "empty-store"],
)
def test_words_that_make_no_sense_are_usage_errors(cli, words: list[str], text: str):
    done = cli(*words)

    assert (done.returncode, done.stdout) == (2, "")
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_every_verb_has_help(cli):
    said = cli("--help").stdout

    for verb in ("start", "stop", "ls", "info", "rm", "top", "doctor", "demo"):
        assert f"\n    {verb} " in said
        assert cli(verb, "--help").stdout.startswith(f"usage: jupyter shm {verb} ")


def test_a_bad_setting_is_one_line(cli, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JUPYTER_SHM_RUNTIME_DIR", "relative")

    done = cli("ls")

    assert done.returncode == 1
    assert "is a relative path" in complaint(done)


# --- ls ---------------------------------------------------------------------------------------------------------------


def test_ls_shows_what_is_published(cli, store: Store):
    store.put(np.zeros((1000, 100)), "grid")
    store.put({"a": 1}, "notes")

    done = cli("ls")

    heading, grid, notes = done.stdout.splitlines()
    assert heading.split()[:5] == ["name", "type", "shape", "dtype", "size"]
    assert grid.split()[:3] == ["grid", "numpy.ndarray", "1,000"]
    assert grid.split()[4:7] == ["100", "float64", "781.2"]
    assert notes.split()[:2] == ["notes", "dict"]
    assert (done.returncode, done.stderr) == (0, "")


def test_ls_of_an_empty_store_says_so(cli, store: Store):
    assert cli("ls").stdout == "the store is empty\n"
    assert json.loads(cli("ls", "--json").stdout) == []


def test_ls_takes_a_pattern(cli, store: Store):
    for name in ("run1", "run2", "walk"):
        store.put(name, name)

    assert [one["name"] for one in json.loads(cli("ls", "run*", "--json").stdout)] == ["run1", "run2"]
    assert cli("ls", "fly*").stdout == "no published name matches 'fly*'\n"


def test_ls_shows_objects_without_a_name_when_asked(cli, store: Store):
    ref = store.put(np.zeros(10))

    assert cli("ls").stdout == "the store is empty\n"
    assert "(anonymous)" in cli("ls", "--anonymous").stdout
    del ref


def test_ls_for_programs_tells_all_facts_in_units_of_one(cli, store: Store):
    store.put(np.zeros((3, 4), "int16"), "grid")
    held = store.get("grid")

    (facts,) = json.loads(cli("ls", "--json").stdout)

    created = datetime.fromisoformat(facts.pop("created"))
    (holder,) = facts.pop("holders")
    info = store.info("grid")
    assert created == info.created
    client = info.holders[0].client
    label = info.holders[0].label
    assert holder == {"pid": os.getpid(), "label": label, "kernel": "", "notebook": "", "client": client}
    assert facts == {
        "name": "grid",
        "type": "numpy.ndarray",
        "shape": [3, 4],
        "dtype": "int16",
        "nbytes": 24,
        "state": "live",
        "version": 1,
        "owner": info.owner,
        "reads": 1,
        "containers": 0,
        "id": info.id,
        "pinned": False,
        "expires": None,
        "lifetime": "store",
        "memory": info.explain(),
    }
    del held


def test_ls_changes_nothing(cli, store: Store):
    store.put(np.zeros(10), "grid")
    before = store.info("grid")

    cli("ls")

    assert store.info("grid") == before


def test_a_table_for_people_shows_a_name_as_it_is(store: Store):
    store.put(1, "[red]x[/red]")
    ours, theirs = pty.openpty()
    try:
        settings = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
        done = subprocess.run(
            [*CLI, "ls"], stdout=theirs, stderr=subprocess.PIPE, env=settings, timeout=50, check=False
        )
        said = os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)

    assert (done.returncode, done.stderr) == (0, b"")
    assert "[red]x[/red]" in said
    assert "\x1b[1m" in said  # headings in bold: this is the table of a terminal


def test_a_reader_that_has_enough_is_no_error(store: Store):
    store.put(1, "x")

    with subprocess.Popen([*CLI, "ls"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        said = process.stderr.read()

    assert (process.returncode, said) == (141, b"")


def test_an_encoding_without_a_sign_is_no_error(cli, store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    store.put(np.zeros((2, 3)), "größe")

    done = cli("ls")

    assert (done.returncode, done.stderr) == (0, "")
    assert r"gr\xf6\xdfe" in done.stdout


# --- info -------------------------------------------------------------------------------------------------------------


def test_info_tells_what_python_tells(cli, store: Store):
    store.put(np.zeros(10), "grid")

    assert cli("info", "grid").stdout == f"{store.info('grid')}\n"


def test_info_for_programs_is_one_object(cli, store: Store):
    store.put(np.zeros(10), "grid")

    assert json.loads(cli("info", "grid", "--json").stdout)["nbytes"] == 80


@pytest.mark.parametrize(
    "words", [["info", "nix"], ["info", "nix", "--json"], ["rm", "nix"], ["pin", "nix"], ["unpin", "nix"]], ids=" ".join
)
def test_a_name_that_nobody_published_is_told(cli, store: Store, words: list[str]):
    done = cli(*words)

    assert (done.returncode, done.stdout) == (1, "")
    assert "'nix'" in complaint(done)


def test_a_name_that_cannot_be_one_is_told(cli, store: Store):
    done = cli("info", "x" * 200)

    assert done.returncode == 1
    assert "the limit is 128" in complaint(done)


# --- rm ---------------------------------------------------------------------------------------------------------------


def test_rm_deletes_what_there_is_and_complains_about_the_rest(cli, store: Store):
    for name in ("a", "b", "c"):
        store.put(name, name)

    done = cli("rm", "a", "nix", "b")

    assert (done.returncode, done.stdout) == (1, "deleted 'a'\ndeleted 'b'\n")
    assert "'nix'" in complaint(done)
    assert store.keys() == ["c"]


def test_rm_leaves_readers_their_bytes(cli, store: Store):
    store.put(np.arange(1000), "grid")
    held = store.get("grid")

    assert cli("rm", "grid").returncode == 0
    store.put(np.zeros(1000), "other")

    assert (held == np.arange(1000)).all()


def test_rm_takes_patterns(cli, store: Store):
    for name in ("tmp1", "tmp2", "run[1]", "run1", "keep"):
        store.put(1, name)

    done = cli("rm", "tmp*", "run[1]", "q*")

    assert (done.returncode, done.stdout) == (1, "deleted 2 names: 'tmp1', 'tmp2'\ndeleted 'run[1]'\n")
    assert complaint(done) == "no published name matches 'q*'"
    assert store.keys() == ["keep", "run1"]


def test_rm_all_takes_every_name(cli, store: Store):
    for number in range(12):
        store.put(1, f"{number:02}")

    assert cli("rm", "--all").stdout.endswith("'08', '09' and 2 more\n")
    assert store.keys() == []
    assert cli("rm", "--all").stdout == "the store is empty\n"


@pytest.mark.parametrize("words", [["rm"], ["rm", "--all", "x"]], ids=" ".join)
def test_rm_wants_to_be_told_what(cli, store: Store, words: list[str]):
    store.put(1, "x")

    done = cli(*words)

    assert done.returncode == 2
    assert "say what to delete" in complaint(done)
    assert store.keys() == ["x"]


# --- pin and unpin ----------------------------------------------------------------------------------------------------


def test_pin_and_unpin_say_what_they_did(cli, store: Store):
    store.put(1, "x", ttl=1000)
    store.put(1, "y")

    done = cli("pin", "x", "nix", "y")

    assert (done.returncode, done.stdout) == (1, "pinned 'x'\npinned 'y'\n")
    assert "'nix'" in complaint(done)
    assert store.info("x").pinned
    assert store.info("y").pinned
    assert cli("unpin", "x").stdout == "unpinned 'x'\n"
    assert not store.info("x").pinned
