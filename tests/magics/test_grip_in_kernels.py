"""Who holds what, between two kernels; and that a real kernel lets go of everything that it is told to."""

from __future__ import annotations

import pytest

from jupyter_shm.testing.private import eventually


@pytest.fixture
def published(notebook, other):
    """Both kernels; the first one has published x, and the second one has the client at hand."""
    notebook.run("import numpy as np, jupyter_shm as shm; x = np.arange(1000.0)\n%shm_put x")
    other.run("import jupyter_shm as shm")
    return notebook, other


HELD = "[(one.pid, one.label, one.notebook) for one in shm.info('x').holders]"


def test_info_and_who_name_the_process_and_the_notebook_that_hold_it(published):
    notebook, other = published
    other.run("%shm_get x")
    pid = other.value("__import__('os').getpid()")

    assert notebook.value(HELD) == [(pid, "two.ipynb", "two.ipynb")]
    client = notebook.value("shm.info('x').holders[0].client")
    assert notebook.run("%shm_who x").out == f"x: version 1, 7.8 KiB\n  two.ipynb: pid {pid}, client {client}\n"
    assert f"two.ipynb (pid {pid}, client {client})" in str(notebook.run("%shm_info x").data)


def test_a_kernel_lets_go_of_variables_outputs_and_errors(published):
    notebook, other = published
    other.run("def mean(a):\n    return a[3:].sum() // [][0]")
    other.run("y = [shm.get('x')]")
    other.run("shm.get('x')")
    assert other.run("mean(shm.get('x'))").errors
    assert len(notebook.value(HELD)) == 1

    shown = other.run("%shm_release x")

    places = [line.removeprefix("cleared ") for line in shown.out.splitlines()]
    assert [places[0], places[2:]] == ["variable y, a list", ["_", "the last error, in mean"]]
    assert places[1].startswith("Out[")
    assert (shown.err, shown.errors, notebook.value(HELD)) == ("", [], [])


def test_the_memory_of_a_deleted_name_is_free_once_the_kernel_lets_go_of_it(published):
    notebook, other = published
    other.run("shm.get('x')")
    other.run("'more'")
    notebook.run("%shm_rm x")
    assert eventually(lambda: notebook.value("shm.stats().held"))

    assert "cleared __" in other.run("%shm_release x").out

    assert eventually(lambda: notebook.value("[one.name for one in shm.list(anonymous=True)]") == [])
    assert notebook.value("shm.stats().held") == 0


def test_an_output_that_was_let_go_of_is_not_found_by_the_next_cell(published):
    _, other = published
    other.run("shm.get('x')")
    number = other.value("max(Out)")

    other.run("%shm_release x")

    assert other.value(f"{number} in Out") is False
    assert other.value("_") == ""
    assert other.run(f"_{number}").errors[0]["ename"] == "NameError"


@pytest.mark.parametrize("magic", ["%shm_who", "%shm_release"])
def test_names_complete_also_those_that_are_only_held_here(published, magic):
    notebook, other = published
    other.run("kept = shm.get('x')")
    notebook.run("%shm_rm x\nxylophone = 1\n%shm_put xylophone")

    assert other.completions(f"{magic} x") == [f"{magic} x", f"{magic} xylophone"]
    assert notebook.completions(f"{magic} x") == [f"{magic} xylophone"]
