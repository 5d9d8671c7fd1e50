"""What Tab offers behind our magics."""

from __future__ import annotations

import socket
import threading
import types

import numpy as np
import pytest

from jupyter_shm import completion


@pytest.fixture
def filled(shell):
    """Names in the store: alpha, alpine, beta, and one with a space; variables: some."""
    shell.run("one = 1")
    for name in ("alpha", "alpine", "beta", "'al two'"):
        shell.run(f"%shm_put one --name {name}")
    return shell


@pytest.mark.parametrize(
    "line",
    [
        "%shm_get ",
        "shm_get ",
        "  %shm_get ",
        "x = %shm_get ",
        "x=%shm_get ",
        "%time %shm_get ",
        "%time x = %shm_get ",
        "%shm_get beta ",
        "%shm_get -w ",
        "%shm_info ",
        "shm_info ",
        "%shm_rm ",
        "%shm_rm --all ",
        "%shm_pin ",
        "%shm_unpin beta ",
        "%shm_ls ",
        "%shm_put one --name ",
    ],
)
def test_names_of_the_store_complete(filled, line):
    assert filled.completions(f"{line}al") == [f'{line}"al two"', f"{line}alpha", f"{line}alpine"][1:]


def test_without_a_letter_every_name_is_offered_but_those_that_stand_there(filled):
    assert filled.completions("%shm_get alpha ") == [
        '%shm_get alpha "al two"',
        "%shm_get alpha alpine",
        "%shm_get alpha beta",
    ]


@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_name_with_a_space_completes_in_quotes(filled, quote):
    assert filled.completions(f"%shm_get {quote}al t") == [f"%shm_get {quote}al two{quote}"]


def test_variables_complete_behind_put_arrays_first(filled):
    filled["zeros"], filled["zip_code"], filled["zoo"] = np.zeros(1), 1, types

    assert filled.completions("%shm_put z") == ["%shm_put zeros", "%shm_put zip_code"]
    assert filled.completions("shm_put zer") == ["shm_put zeros"]
    assert filled.completions("%shm_get alpha --as ze") == ["%shm_get alpha --as zeros"]


def test_hidden_variables_complete_only_when_asked_for(filled):
    filled["_mine"] = 1

    assert not any("_mine" in line for line in filled.completions("%shm_put "))
    assert filled.completions("%shm_put _min") == ["%shm_put _mine"]


def test_options_complete(filled):
    assert filled.completions("%shm_get a --t") == ["%shm_get a --timeout"]
    options = ["lifetime", "name", "no-overwrite", "pin", "rebind", "ttl"]
    assert filled.completions("%shm_put --") == [f"%shm_put --{option}" for option in options]


def test_the_line_of_a_cell_on_workers_completes(filled):
    filled["zeros"], filled["zip_code"] = np.zeros(1), 1

    assert filled.completions("%%shm_run --put z") == ["%%shm_run --put zeros", "%%shm_run --put zip_code"]
    assert filled.completions("%%shm_run --put a b zi") == ["%%shm_run --put a b zip_code"]
    assert filled.completions("%%shm_run --workers 2 --get ze") == ["%%shm_run --workers 2 --get zeros"]
    assert filled.completions("%%shm_run --put a --") == [f"%%shm_run --put a --{name}" for name in ("get", "workers")]


def test_an_option_that_was_given_is_not_offered_again(filled):
    assert "%shm_put a --rebind --rebind" not in filled.completions("%shm_put a --rebind --")


def test_other_lines_complete_as_before(filled):
    filled["alphabet"] = 1

    assert "alphabet" in filled.completions("alphab")
    assert "print(alphabet" in filled.completions("print(alphab")
    assert "%shm_get" in filled.completions("%shm_g")


def test_names_of_the_store_that_is_set_complete(filled):
    filled.run("%config JupyterShm.store = 'second'\n%shm_put one --name alone")

    assert filled.completions("%shm_get al") == ["%shm_get alone"]


# --- Harmless ---------------------------------------------------------------------------------------------------------


def test_completing_does_not_revive_a_store_that_ended(filled, runtime_folder):
    filled.run("import jupyter_shm as shm; shm.connect().shutdown(force=True)")

    assert completion.names_in(None) == []
    assert not list(runtime_folder.glob("*.sock"))


def test_completing_with_a_bad_setting_is_silent(filled, capsys):
    filled.run("%config JupyterShm.store = 'no good'")
    filled.completions("%shm_get al")

    assert capsys.readouterr().err == ""


def test_a_store_that_does_not_answer_keeps_nobody_waiting(runtime_folder, monkeypatch):
    monkeypatch.setattr(completion, "PATIENCE", 0.01)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent:
        silent.bind(str(runtime_folder / "default.sock"))
        silent.listen()

        assert completion.names_in(None) == []

        # Whoever asked is still waiting for an answer.
        assert "jupyter_shm completion" in {thread.name for thread in threading.enumerate()}


def test_what_an_option_may_be_completes(filled):
    assert filled.completions("%shm_put one --lifetime ") == [
        "%shm_put one --lifetime store",
        "%shm_put one --lifetime kernel",
    ]
