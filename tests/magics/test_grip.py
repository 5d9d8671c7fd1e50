"""%shm_who and %shm_release: every place of a notebook that keeps an object is told, and cleared."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from jupyter_shm.client import hold
from jupyter_shm.client.default import default_store
from jupyter_shm.testing.private import eventually


@pytest.fixture
def filled(shell, capsys):
    """An array under the name x; no variable has it."""
    default_store().put(np.arange(1000.0), "x")
    shell.run("import jupyter_shm as shm")
    return shell


def who(shell, capsys, name: str = "x") -> list[str]:
    """What holds it here, as %shm_who tells."""
    capsys.readouterr()
    shell.run(f"%shm_who {name}")
    lines = capsys.readouterr().out.splitlines()
    return [line.removeprefix("  this kernel: ") for line in lines if line.startswith("  this kernel: ")]


def release(shell, capsys, names: str = "x") -> list[str]:
    capsys.readouterr()
    shell.run(f"%shm_release {names}")
    return capsys.readouterr().out.splitlines()


# --- Who --------------------------------------------------------------------------------------------------------------


def test_nobody_holds_what_was_only_published(filled, capsys):
    filled.run("%shm_who x")

    assert capsys.readouterr().out == "x: version 1, 7.8 KiB; nobody holds it\n"


KEPT = {
    "y = shm.get('x')": ["variable y"],
    "%shm_get x": ["variable x"],
    "y = shm.get('x', mode='c')[3:]": ["variable y"],
    "y = {'train': [0, shm.get('x')[:10]]}": ["variable y, a dict"],
    "_mine = (shm.get('x'),)": ["variable _mine, a tuple"],
    "def keep(a=shm.get('x')): pass": ["variable keep, a function"],
    "a = b = shm.get('x')": ["variable a", "variable b"],
}


@pytest.mark.parametrize("cell", KEPT)
def test_every_variable_that_leads_to_a_view_is_told(filled, capsys, cell):
    filled.run(cell)

    assert who(filled, capsys) == KEPT[cell]


def test_a_table_and_a_part_of_it_are_told(shell, capsys):
    pytest.importorskip("pandas")
    shell.run("import pandas as pd; df = pd.DataFrame({'a': range(10_000), 'b': 0.5})\n%shm_put df --rebind")
    shell.run("part = df['a'][10:20]; total = df['a'].sum()")

    assert who(shell, capsys, "df") == ["variable df, a DataFrame", "variable part, a Series"]


def test_outputs_and_underscores_are_told_each_once(filled, capsys):
    filled.run("shm.get('x')")
    first = max(filled["Out"])

    assert who(filled, capsys) == [f"Out[{first}]", "_"]

    filled.run("[shm.get('x')]")
    second = max(filled["Out"])
    filled.run("1")
    assert who(filled, capsys) == [f"Out[{first}]", f"Out[{second}], a list", "__, a list", "___"]


def fail_with(shell, cell: str) -> None:
    error = shell.ip.run_cell(cell).error_in_exec
    assert isinstance(error, ZeroDivisionError)


BOOM = "def mean(values):\n    part = values[5:]\n    return part.sum() / 0 if False else 1 // 0\n"


def test_the_functions_are_told_in_whose_frames_the_last_error_keeps_it(filled, capsys):
    filled.run(BOOM)
    fail_with(filled, "mean(shm.get('x'))")

    assert who(filled, capsys) == ["the last error, in mean"]


def test_the_error_that_another_one_was_raised_from_keeps_as_well(filled, capsys):
    filled.run(
        f"{BOOM}def outer():\n    try:\n        mean(shm.get('x'))\n    except ZeroDivisionError:\n        1 // 0"
    )
    fail_with(filled, "outer()")

    assert who(filled, capsys) == ["the last error, in mean"]


def test_a_variable_of_a_module_is_told_where_no_variable_of_the_notebook_leads_there(filled, capsys, monkeypatch):
    module = ModuleType("a_module")
    monkeypatch.setitem(sys.modules, "a_module", module)
    module.CACHE = {"x": default_store().get("x")}

    assert who(filled, capsys) == ["CACHE of module a_module, a dict"]


def test_what_cannot_be_seen_is_said_to_be_there(filled, capsys):
    view = default_store().get("x")

    (line,) = who(filled, capsys)

    assert line.startswith("something that cannot be seen from here")
    del view


def test_the_store_and_ipython_itself_are_no_holders(filled, capsys):
    filled.run("import sys; ip = get_ipython(); store = shm.connect(); y = store.get('x', mode='c')")

    assert who(filled, capsys) == ["variable y"]


def test_versions_are_told_apart(filled, capsys):
    filled.run("old = shm.get('x'); shm.put(old * 2, 'x'); new = shm.get('x')")

    filled.run("%shm_who x")
    assert capsys.readouterr().out.splitlines() == [
        "x: version 2, 7.8 KiB",
        "  this kernel: variable new",
        "x: version 1, 7.8 KiB; its name means another version",
        "  this kernel: variable old",
    ]

    filled.run("del new; shm.delete('x')\n%shm_who x")
    assert capsys.readouterr().out.splitlines() == [
        "x: version 1, 7.8 KiB; its name is gone",
        "  this kernel: variable old",
    ]


# --- Release ----------------------------------------------------------------------------------------------------------


def is_gone(name: str = "x") -> bool:
    return hold.holds("default", name) == [] and default_store().info(name).holders == ()


@pytest.mark.parametrize("cell", KEPT)
def test_release_clears_every_variable_and_the_lease_is_gone(filled, capsys, cell):
    filled.run(cell)

    assert release(filled, capsys) == [f"cleared {place}" for place in KEPT[cell]]
    assert is_gone()


def test_release_clears_exactly_what_leads_there(filled, capsys):
    default_store().put(np.zeros(1000), "other")
    filled.run("y = shm.get('x'); z = shm.get('other'); n = 5")
    filled.run("n")
    filled.run("shm.get('other')")

    assert release(filled, capsys) == ["cleared variable y"]
    assert filled["n"] == 5
    assert filled["z"].sum() == filled["_"].sum() == 0
    assert 5 in filled["Out"].values()


def test_release_clears_outputs_in_all_the_places_where_ipython_keeps_them(filled, capsys):
    filled.run("7")
    filled.run("shm.get('x')")
    number = max(filled["Out"])

    assert release(filled, capsys) == [f"cleared Out[{number}]", "cleared _"]
    assert is_gone()
    assert (filled["_"], filled["__"], f"_{number}" in filled) == ("", 7, False)


def test_underscores_go_on_after_a_release(filled, capsys):
    filled.run("shm.get('x')")
    release(filled, capsys)

    filled.run("1 + 1")
    filled.run("'next'")

    assert [filled[name] for name in ("_", "__", "___")] == ["next", 2, ""]


def test_release_clears_the_last_error(filled, capsys):
    filled.run(BOOM)
    fail_with(filled, "mean(shm.get('x'))")

    assert release(filled, capsys) == ["cleared the last error, in mean"]
    assert is_gone()
    assert not hasattr(sys, "last_value")


def test_release_leaves_an_error_that_keeps_nothing(filled, capsys):
    fail_with(filled, "1 // 0")
    filled.run("y = shm.get('x')")

    assert release(filled, capsys) == ["cleared variable y"]
    assert isinstance(sys.last_value, ZeroDivisionError)


def test_release_clears_an_error_that_a_variable_keeps(filled, capsys):
    filled.run(f"{BOOM}try:\n    mean(shm.get('x'))\nexcept ZeroDivisionError as error:\n    kept = error")

    assert release(filled, capsys) == ["cleared variable kept, a ZeroDivisionError"]
    assert is_gone()


def test_release_ends_cycles(filled, capsys):
    filled.run("y = [shm.get('x')]; y.append(y)")

    assert release(filled, capsys) == ["cleared variable y, a list"]
    assert is_gone()


def test_release_frees_an_object_whose_name_is_gone(filled, capsys):
    filled.run("y = shm.get('x')\n%shm_rm x")
    capsys.readouterr()
    assert eventually(lambda: default_store().stats().held)

    assert release(filled, capsys) == ["cleared variable y"]
    assert eventually(lambda: not default_store().list(anonymous=True))


def test_release_says_what_it_cannot_clear(filled, capsys, monkeypatch):
    module = ModuleType("a_module")
    monkeypatch.setitem(sys.modules, "a_module", module)
    module.CACHE = default_store().get("x")
    filled.run("y = shm.get('x')")

    assert release(filled, capsys) == ["cleared variable y", "'x' is still held by CACHE of module a_module"]


def test_release_takes_several_names(filled, capsys):
    default_store().put(np.zeros(1000), "two words")
    filled.run("a, both, c = shm.get('x'), shm.get(['x', 'two words']), shm.get('two words')")

    assert release(filled, capsys, "x 'two words'") == [
        "cleared variable a",
        "cleared variable both, a list",
        "cleared variable c",
    ]
    assert is_gone()
    assert is_gone("two words")


def test_releasing_what_is_not_held_here_changes_nothing(filled, capsys):
    assert release(filled, capsys) == ["this kernel holds nothing of 'x'"]


@pytest.mark.parametrize("magic", ["%shm_who", "%shm_release"])
def test_a_name_that_is_neither_published_nor_held_is_a_mistake_in_one_line(filled, magic):
    filled.run("y = shm.get('x')")

    error = filled.fail(f"{magic} x nope")

    assert error == f"{magic}: nothing is published under 'nope', and this kernel holds nothing of that name"
    assert "y" in filled, "all of it, or nothing"


def test_a_variable_that_cannot_be_asked_anything_does_no_harm(filled, capsys):
    class Unaskable:
        def __getattribute__(self, name):
            raise RuntimeError(name)

        def __eq__(self, other):
            raise RuntimeError("==")

        __hash__ = None

    filled["odd"] = Unaskable()
    filled["y"] = SimpleNamespace(a=default_store().get("x"), b=Unaskable())

    assert release(filled, capsys) == ["cleared variable y, a SimpleNamespace"]
    assert is_gone()
