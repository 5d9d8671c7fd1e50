"""%shm_get: out of the store, into variables or into an assignment."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def filled(shell, capsys):
    """A shell whose store holds an array and a dict, and whose variables hold neither."""
    shell["array"], shell["table"] = np.arange(6.0).reshape(2, 3), {"k": 1}
    shell.run("%shm_put array table\n%shm_put table --name my-name\n%shm_put table --name for\ndel array, table")
    shell.run("Out.clear()")
    capsys.readouterr()
    return shell


BOUND = {
    "plain": "%shm_get table",
    "automagic": "shm_get table",
    "not the last line": "%shm_get table\npass",
    "first of two": "%shm_get table\n%shm_get array",
    "second of two": "%shm_get array\n%shm_get table",
    "with a semicolon behind": "get_ipython().run_line_magic('shm_get', 'table');",
    "in an if": "if True:\n    %shm_get table",
    "in a loop": "for _ in range(2):\n    %shm_get table",
    "in a function": "def f():\n    %shm_get table\nf()",
    "at the end of a with": "import contextlib\nwith contextlib.suppress(KeyError):\n    %shm_get table",
    "in a try": "try:\n    %shm_get table\nfinally:\n    pass",
    "in a coroutine": "async def f():\n    %shm_get table\nimport contextlib\n"
    "with contextlib.suppress(StopIteration):\n    f().send(None)",
    "timed": "%time %shm_get table",
    "timed as a cell": "%%time\n%shm_get table",
    "captured": "%%capture\n%shm_get table",
    "over two lines": "%shm_get \\\ntable",
}


@pytest.mark.parametrize("cell", BOUND.values(), ids=BOUND)
def test_a_get_that_stands_alone_binds_the_variable_and_shows_nothing(filled, cell):
    shown = filled.run(cell)

    assert shown is None
    assert filled["table"] == {"k": 1}
    assert filled["Out"] == {}


ASSIGNED = {
    "plain": "x = %shm_get table",
    "not the last line": "x = %shm_get table\npass",
    "without spaces": "x=%shm_get table",
    "in an if": "if True:\n    x = %shm_get table",
    "in a loop": "for _ in range(2):\n    x = %shm_get table",
    "in a function": "def f():\n    x = %shm_get table\n    return x\nx = f()",
    "a global of a function": "def f():\n    global x\n    x = %shm_get table\nf()",
    "to an item": "d = {}\nd['t'] = %shm_get table\nx = d['t']",
    "to an attribute": "class C: pass\nC.t = %shm_get table\nx = C.t",
    "to two variables": "x = y = get_ipython().run_line_magic('shm_get', 'table')",
    "with an annotation": "x: dict = get_ipython().run_line_magic('shm_get', 'table')",
    "in a coroutine": "async def f():\n    global x\n    x = %shm_get table\nimport contextlib\n"
    "with contextlib.suppress(StopIteration):\n    f().send(None)",
    "timed": "%time x = %shm_get table",
    "timed as a cell": "%%time\nx = %shm_get table",
    "returned": "def f():\n    return get_ipython().run_line_magic('shm_get', 'table')\nx = f()",
    "an argument": "x = dict(get_ipython().run_line_magic('shm_get', 'table'))",
    "after one that binds": "%shm_get array\nx = %shm_get table",
}


@pytest.mark.parametrize("cell", ASSIGNED.values(), ids=ASSIGNED)
def test_an_assigned_get_gives_the_object_and_binds_nothing_else(filled, cell):
    shown = filled.run(cell)

    assert shown is None
    assert filled["x"] == {"k": 1}
    assert "table" not in filled
    assert filled["Out"] == {}


def test_several_names_are_bound_together(filled):
    filled.run("%shm_get array table")

    assert filled["array"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert filled["table"] == {"k": 1}


def test_several_names_are_assigned_in_their_order(filled):
    filled.run("x, y = %shm_get table array\nboth = %shm_get array table")

    assert filled["x"] == {"k": 1}
    assert filled["y"].shape == (2, 3)
    assert isinstance(filled["both"], list)


def test_a_get_replaces_an_existing_variable(filled):
    filled["table"] = "old"

    filled.run("%shm_get table")

    assert filled["table"] == {"k": 1}


def test_a_name_can_be_fetched_into_another_variable(filled):
    filled.run("%shm_get my-name --as x\n%shm_get for --as y\n%shm_get 'my-name' --as z")

    assert filled["x"] == filled["y"] == filled["z"] == {"k": 1}


def test_any_name_can_be_assigned(filled):
    filled.run("x = %shm_get my-name")

    assert filled["x"] == {"k": 1}


def test_a_view_is_read_only_and_a_copy_is_not(filled):
    filled.run("%shm_get array\ncopy = %shm_get array --copy\ncopy[0, 0] = 9")

    assert not filled["array"].flags.writeable
    assert filled["array"][0, 0] == 0


@pytest.mark.parametrize("flag", ["-w", "--writable"])
def test_a_writable_array_is_a_private_copy_and_says_so(filled, capsys, flag):
    filled.run(f"%shm_get array {flag}\narray[0, 0] = 9\nagain = %shm_get array")

    assert capsys.readouterr().out == "array is a private copy-on-write copy; changes to it stay in this kernel\n"
    assert filled["array"][0, 0] == 9
    assert filled["again"][0, 0] == 0


def test_a_writable_object_that_is_no_array_is_a_plain_copy_and_says_so(filled, capsys):
    filled.run("%shm_get -w table --as t")

    assert (
        capsys.readouterr().out
        == "t is a private copy (a dict cannot be copied on write); changes to it stay in this kernel\n"
    )


def test_a_get_waits_for_a_name_that_is_published_in_time(filled):
    filled.run(
        "import threading, jupyter_shm as shm\n"
        "publisher = threading.Timer(0.05, shm.put, ('late', 'awaited'))\n"
        "publisher.start()\n"
        "%shm_get awaited --timeout 30\n"
        "publisher.join()"
    )

    assert filled["awaited"] == "late"


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("tabel", "nothing is published under 'tabel'. There is 'table'"),
        ("table missing", "nothing is published under 'missing'"),
        ("my-name", "'my-name' cannot be the name of a variable; add --as and the name of one"),
        ("for", "'for' cannot be the name of a variable; add --as and the name of one"),
        ("my-name --as 1x", "'1x' cannot be the name of a variable; use a name that can"),
        ("my-name --as class", "'class' cannot be the name of a variable"),
        ("table array --as x", "--as is for one name, and there are 2"),
        ("table -w --copy", "-w and --copy exclude each other"),
        ("missing --timeout 0.01", "nobody published 'missing' in time"),
        ("table --timeout soon", "argument --timeout: 'soon' is no number of seconds"),
        ("table --timeout nan", "argument --timeout: 'nan' is no number of seconds"),
        ("table --timeout -1", "argument --timeout"),
        ("", "the following arguments are required: name. %shm_get? shows the usage."),
    ],
)
def test_a_mistake_is_one_line_and_binds_nothing(filled, line, hint):
    error = filled.fail(f"%shm_get {line}")

    assert error.startswith("%shm_get: ")
    assert hint in error
    assert "table" not in filled


def test_as_and_an_assignment_exclude_each_other(filled):
    assert "leave one of them out" in filled.fail("x = %shm_get table --as y")


def test_the_errors_speak_of_options_not_of_arguments(shell):
    assert shell.fail("%shm_get a").endswith("The store is empty; pass --timeout to wait for it")
