"""How long names live, in magics: the options of %shm_put, %shm_pin and %shm_unpin, and %shm_rm with patterns."""

from __future__ import annotations

import numpy as np
import pytest

from jupyter_shm.client.default import default_store
from jupyter_shm.testing.private import eventually


@pytest.fixture
def filled(shell, capsys):
    """Published: array, tmp1, tmp2, run[1]."""
    shell["array"] = np.arange(6.0)
    shell.run("%shm_put array\n%shm_put array --name tmp1\n%shm_put array --name tmp2\n%shm_put array --name run[1]")
    capsys.readouterr()
    return shell


# --- Put --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said", "terms"),
    [
        ("--ttl 10m", "ends in 10 min", (False, True, "store")),
        ("--ttl '1h 30m'", "ends in 1 h 30 min", (False, True, "store")),
        ("--pin", "pinned", (True, False, "store")),
        ("--lifetime kernel", "ends with this kernel", (False, False, "kernel")),
        (
            "--pin --lifetime kernel --ttl 90",
            "ends in 1 min 30 s; ends with this kernel; pinned",
            (True, True, "kernel"),
        ),
    ],
)
def test_a_put_says_on_which_terms(filled, capsys, options, said, terms):
    filled.run(f"%shm_put array --name x {options}")

    assert capsys.readouterr().out == f"x: numpy.ndarray, 6, 48 B; {said}\n"
    info = default_store().info("x")
    assert (info.pinned, info.expires is not None, info.lifetime) == terms


def test_the_terms_are_shown_in_the_list_and_of_one_name(filled, capsys):
    filled.run("%shm_put array --pin --lifetime kernel\n%shm_ls\n%shm_info array")

    shown = capsys.readouterr().out
    assert "terms" in shown
    assert "pinned, kernel" in shown
    assert "until its publisher ends; pinned" in shown


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("%shm_put array --ttl soon", "%shm_put: ttl is 'soon'; expected a number of seconds above 0, or text such as"),
        ("%shm_put array --ttl -5", "%shm_put: "),
        ("%shm_put array --lifetime ever", "%shm_put: argument --lifetime: invalid choice: 'ever'"),
        ("%shm_pin", "%shm_pin: the following arguments are required: name"),
        ("%shm_pin array nope", "%shm_pin: nothing is published under 'nope'; nothing was pinned"),
        ("%shm_unpin nope array", "%shm_unpin: nothing is published under 'nope'; nothing was unpinned"),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(filled, line, hint):
    assert filled.fail(line).startswith(hint)

    assert [(info.version, info.terms) for info in default_store().list("array")] == [(1, "")]


# --- Pin and unpin ----------------------------------------------------------------------------------------------------


def test_pin_and_unpin_say_what_they_did(filled, capsys):
    filled.run("%shm_pin array tmp1")
    assert capsys.readouterr().out == "pinned 'array'\npinned 'tmp1'\n"
    assert [info.name for info in default_store().list() if info.pinned] == ["array", "tmp1"]

    filled.run("%shm_unpin array tmp1")
    assert capsys.readouterr().out == "unpinned 'array'\nunpinned 'tmp1'\n"
    assert not any(info.pinned for info in default_store().list())


def test_unpin_says_that_a_name_is_gone_whose_time_was_over(filled, capsys):
    filled.run("%shm_put array --name short --ttl 0.001 --pin")
    capsys.readouterr()
    assert eventually(lambda: default_store().info("short").expires == 0)

    filled.run("%shm_unpin short")

    assert capsys.readouterr().out == "unpinned 'short'; its time was over, and it is gone\n"


# --- Rm ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["tmp*", "'tmp*'", '"tmp?"'])
def test_rm_deletes_what_a_pattern_matches_and_says_so_in_one_line(filled, capsys, pattern):
    filled.run(f"%shm_rm {pattern}")

    assert capsys.readouterr().out == "deleted 2 names: 'tmp1', 'tmp2'\n"
    assert default_store().keys() == ["array", "run[1]"]


def test_rm_says_that_a_pattern_matches_nothing(filled, capsys):
    filled.run("%shm_rm q*")

    assert capsys.readouterr().out == "no published name matches 'q*'\n"


def test_a_name_that_looks_like_a_pattern_means_itself(filled, capsys):
    filled.run("%shm_put array --name run1\n%shm_rm run[1]")

    assert capsys.readouterr().out.endswith("deleted 'run[1]'\n")
    assert default_store().keys() == ["array", "run1", "tmp1", "tmp2"]


def test_names_and_patterns_may_stand_together(filled, capsys):
    filled.run("%shm_rm array t*1 t*")

    assert capsys.readouterr().out == "deleted 'array'\ndeleted 'tmp1'\ndeleted 'tmp2'\n"


def test_rm_all_deletes_every_name(filled, capsys):
    filled.run("%shm_rm --all")
    assert capsys.readouterr().out == "deleted 4 names: 'array', 'run[1]', 'tmp1', 'tmp2'\n"

    filled.run("%shm_rm --all")
    assert capsys.readouterr().out == "the store is empty\n"


def test_of_very_many_the_first_are_named(filled, capsys):
    for number in range(20):
        default_store().put(1, f"many{number:02}")

    filled.run("%shm_rm many*")

    assert capsys.readouterr().out.endswith("'many08', 'many09' and 10 more\n")
