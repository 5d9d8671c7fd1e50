"""The magics as people meet them: in two kernels of one machine."""

from __future__ import annotations

import pytest


def test_a_kernel_fetches_what_another_one_publishes(notebook, other):
    put = notebook.run("import numpy as np; arr = np.arange(10) ** 2\n%shm_put arr")
    got = other.run("%shm_get arr")

    assert put.out == "arr: numpy.ndarray, 10, 80 B\n"
    assert (got.out, got.err, got.data) == ("", "", [])
    assert other.value("arr.tolist()") == [n * n for n in range(10)]


def test_an_overwrite_names_the_notebook_whose_version_it_replaces(notebook, other):
    notebook.run("a = 1\n%shm_put a")

    shown = [one.run("a = 2\n%shm_put a").out for one in (other, other)]

    assert shown == [
        "a: int, 5 B; replaced version 1 of one.ipynb, whose readers keep the old bytes\n",
        "a: int, 5 B; replaced version 2 of two.ipynb, whose readers keep the old bytes\n",
    ]


def test_a_reader_keeps_the_old_bytes(notebook, other):
    notebook.run("import numpy as np; a = np.zeros(1000)\n%shm_put a")
    other.run("%shm_get a")

    notebook.run("a = np.ones(1000)\n%shm_put a")

    assert other.value("float(a.sum())") == 0.0


def test_a_large_array_costs_its_reader_less_than_a_megabyte(notebook, other):
    notebook.run("import numpy as np; large = np.ones(30_000_000); small = np.ones(1000)\n%shm_put large small")
    other.run(
        "from jupyter_shm.linux.process import private_bytes\n"
        "%shm_get small\n"
        "float(small.sum()), private_bytes()"  # once before it counts: code is loaded when it is first used
    )

    other.run("import gc; gc.collect(); before = private_bytes()")
    other.run("%shm_get large")
    other.run("got = private_bytes() - before")
    other.run("total = float(large.sum()); used = private_bytes() - before")

    assert other.value("large.nbytes") == 240_000_000
    assert other.value("total") == 30e6
    assert other.value("got") < 1_000_000
    assert other.value("used") < 1_000_000


def test_rebind_frees_the_copy_of_the_publisher(notebook):
    notebook.run("from jupyter_shm.linux.process import private_bytes\nimport numpy as np\na = np.ones(8_000_000)")
    notebook.run("before = private_bytes()")

    notebook.run("%shm_put a --rebind")

    assert notebook.value("before - private_bytes()") > 60_000_000


SILENT = [
    "%shm_get a",
    "x = %shm_get a",
    "%shm_ls",
    "%shm_info a",
    "%time %shm_get a",
    "import asyncio\nawait asyncio.sleep(0)\n%shm_get a",
    "import asyncio\nawait asyncio.sleep(0)\ny = %shm_get a",
]


def test_out_never_holds_what_was_fetched(notebook, other):
    notebook.run("a = [1, 2]\n%shm_put a")

    shown = [other.run(cell) for cell in SILENT]

    assert [(one.errors, one.err) for one in shown] == [([], "")] * len(SILENT)
    assert other.value("(a, x, y)") == ([1, 2], [1, 2], [1, 2])
    assert other.value("Out") == {}


def test_tables_come_as_html_and_as_text(notebook):
    notebook.run("a = 1\n%shm_put a")

    (listing,) = notebook.run("%shm_ls").data
    (facts,) = notebook.run("%shm_info a").data

    assert "<th" in listing["text/html"]
    assert listing["text/plain"].startswith("name ")
    assert "<td>pickle" not in facts["text/html"]
    assert facts["text/plain"].startswith("name ")


MISTAKES = [
    "%shm_get nope",
    "%shm_get",
    "%shm_put nope",
    "%shm_put 1+1",
    "%shm_rm nope",
    "%shm_info nope",
    "%shm_ls a b",
]


@pytest.mark.parametrize("cell", MISTAKES)
def test_a_mistake_is_one_line_without_a_traceback(notebook, cell):
    shown = notebook.run(cell)

    assert shown.reply["status"] == "error"
    assert shown.reply["ename"] == "UsageError"
    assert shown.err.startswith(f"UsageError: {cell.split()[0]}: ")
    assert shown.err.count("\n") == 1
    assert (shown.out, shown.errors) == ("", [])
    assert "jupyter_shm/" not in str(shown.reply["traceback"])


def test_an_interrupted_wait_is_one_line_and_the_kernel_goes_on(notebook):
    shown = notebook.run(INTERRUPTED)

    assert [error["traceback"] for error in shown.errors] == [["KeyboardInterrupt: %shm_get was interrupted"]]
    assert notebook.run("a = 1\n%shm_put a").out == "a: int, 5 B\n"


# The interrupt comes when the cell is known to wait for the store's answer.
INTERRUPTED = """\
import os, signal, sys, threading, time

def interrupt(main=threading.get_ident()):
    names = ()
    while not {"shm_get", "request", "_read"} <= set(names):
        time.sleep(0.005)
        names, frame = [], sys._current_frames()[main]
        while frame:
            names.append(frame.f_code.co_name)
            frame = frame.f_back
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt).start()
%shm_get never --timeout 60
"""


def test_tab_completes_through_the_kernel(notebook, other):
    notebook.run("alpha = alpine = 1\n%shm_put alpha alpine")

    assert other.completions("x = %shm_get al") == ["x = %shm_get alpha", "x = %shm_get alpine"]
    assert other.completions("shm_info alp") == ["shm_info alpha", "shm_info alpine"]
    assert notebook.completions("%shm_put alp") == ["%shm_put alpha", "%shm_put alpine"]


def test_a_question_mark_shows_the_usage(notebook):
    (page,) = notebook.run("%shm_get?").reply["payload"]

    assert page["source"] == "page"
    assert "%shm_get [--as VARIABLE]" in page["data"]["text/plain"]


def test_a_store_is_chosen_by_config(notebook, other):
    notebook.run("a = 1\n%config JupyterShm.store = 'second'\n%shm_put a")

    assert "nothing is published under 'a'" in other.run("%shm_get a").err
    assert other.run("%config JupyterShm.store = 'second'\n%shm_get a").err == ""

    for one in (notebook, other):
        one.run("%shm_ls a*\n%config JupyterShm.store = ''")


def test_unloading_removes_the_magics(notebook):
    notebook.run("%unload_ext jupyter_shm")

    assert "`%shm_ls` not found" in notebook.run("%shm_ls").err

    notebook.run("%load_ext jupyter_shm")
