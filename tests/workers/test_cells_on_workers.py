"""%%shm_run in a notebook: what a cell on workers is given, what comes back, and what its mistakes look like."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from magics.cells import Shown

from jupyter_shm.testing.private import eventually

PREPARE = """
import os, time
import numpy as np
import jupyter_shm as shm
"""


def mistake(shown: Shown) -> str:
    """The one line of a cell that was refused."""
    assert not shown.errors
    assert shown.err.startswith("UsageError: ")
    return shown.err.removeprefix("UsageError: ").removesuffix("\n")


def trace(shown: Shown) -> str:
    """What a cell that has failed shows."""
    (error,) = shown.errors
    return "\n".join(error["traceback"])


def test_a_cell_runs_elsewhere_with_what_is_put_and_its_results_come_back(kernel):
    kernel.run("a = np.arange(1_000_000.0); here = os.getpid()")

    shown = kernel.run(
        "%%shm_run --put a here --get b c elsewhere\nb = a.sum()\nc = a * 2\nelsewhere = os.getpid() != here"
    )

    assert not shown.errors
    assert kernel.value("(float(b), float(c[-1]), elsewhere)") == (499999500000.0, 1999998.0, True)


def test_each_of_several_workers_knows_its_part_and_gives_one_of_the_values(kernel):
    kernel.run("a = np.arange(1000)")

    shown = kernel.run(
        "%%shm_run --workers 4 --put a --get part pid\npid = os.getpid()\npart = int(a[worker::workers].sum())\n"
        # Nobody goes on before all have come: they run at the same time, each in a process of its own.
        "shm.put(worker, f'here {worker}')\nassert all(shm.get(f'here {n}', timeout=60) == n for n in range(workers))"
    )

    assert not shown.errors
    assert kernel.value("part") == [sum(range(n, 1000, 4)) for n in range(4)]
    assert kernel.value("len(set(pid))") == 4


def test_one_worker_that_is_asked_for_gives_a_list_too(kernel):
    kernel.run("%%shm_run --workers 1 --get b\nb = workers")

    assert kernel.value("b") == [1]


def test_what_is_put_is_in_memory_once_however_many_look_at_it(kernel):
    kernel.run("a = np.ones(1 << 20); before = shm.stats().objects")

    shown = kernel.run(
        "%%shm_run --workers 3 --put a --get objects writeable\n"
        "shm.put(1, f'looks {worker}'); [shm.get(f'looks {n}', timeout=60) for n in range(workers)]\n"
        "objects = len([one for one in shm.list(anonymous=True) if one.nbytes >= a.nbytes])\n"
        "writeable = a.flags.writeable"
    )

    assert not shown.errors
    assert kernel.value("(objects, writeable)") == ([1, 1, 1], [False] * 3)


def test_what_is_stored_already_is_not_copied(kernel):
    kernel.run("shm.put(np.ones(1 << 20), 'big'); a = shm.get('big')[10:]")

    kernel.run("%%shm_run --put a --get used\nused = shm.stats().used")

    assert kernel.value("used") < 2 * (8 << 20)


def test_nothing_of_a_cell_stays_in_its_worker(kernel):
    kernel.run("shm.connect().clear(); a = np.ones(1 << 20); c = used = objects = None; import gc; gc.collect()")
    kernel.run(
        "%%shm_run --workers 2 --put a --get c\ndef f(n): return f(n - 1) + a.sum() if n else 0\nc = f(2); d = a * 2"
    )

    assert kernel.value("[float(one) for one in c]") == [2.0 * (1 << 20)] * 2
    kernel.run("del a, c")
    shown = kernel.run(
        "end = time.monotonic() + 30\nwhile shm.stats().used > 1 << 20 and time.monotonic() < end: time.sleep(0.01)\n"
        "print(shm.stats().used < 1 << 20)"
    )
    assert shown.out == "True\n"


def test_modules_functions_and_classes_of_the_notebook_go_along(kernel):
    kernel.run(
        "import math as m\nSCALE = 3\ndef helper(x): return m.floor(x) * SCALE\n"
        "class Box:\n    def __init__(self, x): self.x = helper(x)\n"
    )

    shown = kernel.run("%%shm_run --get box f\nbox = Box(2.5)\ndef f(x): return x + box.x\nf(1)")

    assert (shown.out, kernel.value("(box.x, type(box) is Box, f(10))")) == ("7\n", (6, True, 16))


def test_the_last_line_is_shown_as_in_any_cell(kernel):
    assert kernel.run("%%shm_run\n6 * 7").out == "42\n"
    assert kernel.run("%%shm_run\n6 * 7;  # quietly").out == ""
    assert kernel.run("%%shm_run\nNone").out == ""
    assert kernel.run("%%shm_run --workers 2\nworker * 10").out == "[0] 0\n[1] 10\n"


def test_what_it_prints_lands_under_the_cell(kernel):
    assert kernel.run("%%shm_run\nprint('hello'); import sys; print('careful', file=sys.stderr)") == Shown(
        out="hello\n", err="careful\n", reply=kernel.last_reply
    )


def test_a_cell_may_await(kernel):
    assert kernel.run("%%shm_run\nimport asyncio\nawait asyncio.sleep(0, 'done')").out == "'done'\n"


def test_data_that_are_used_and_not_put_are_asked_for_before_anything_runs(kernel):
    kernel.run("a, n = np.ones(3), 2")

    said = mistake(kernel.run("%%shm_run --get b\nopen('/nowhere/at/all')\nb = [n * x for x in a]"))

    assert said == "%%shm_run: the cell uses a, n of this notebook; --put a n gives it to the cell"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "%%shm_run --put nobody\n1",
            "there is no variable 'nobody'; what was published is had by shm.get in the cell",
        ),
        ("%%shm_run --put a,b\n1", "'a,b' is no variable; names are separated by spaces: --put a b"),
        ("%%shm_run --get b\n1", "the cell has not set b, which --get asks for"),
        (
            "%%shm_run --workers 2 --get b\nif worker: b = 1",
            "the cell has not set b (in worker 0 of 2), which --get asks for",
        ),
        ("%%shm_run\n!ls", "magics and shell commands do not run on workers"),
        ("%%shm_run\n%time 1", "magics and shell commands do not run on workers"),
        (
            "%%shm_run --workers 0\n1",
            "argument --workers: '0' is no number of workers, from 1. %%shm_run? shows the usage.",
        ),
        (
            "worker = 1\nget_ipython().run_cell_magic('shm_run', '--put worker', '1')",
            "'worker' is what a cell on workers calls its own; give it another name",
        ),
        (
            "lock = __import__('threading').Lock()\nget_ipython().run_cell_magic('shm_run', '--put lock', '1')",
            "cannot pickle",
        ),
    ],
)
def test_a_mistake_is_one_line(kernel, code, said):
    told = mistake(kernel.run(code))

    assert told.startswith("%%shm_run: ")
    assert said in told
    assert "\n" not in told


def test_a_syntax_error_is_shown_where_it_is(kernel):
    assert (
        mistake(kernel.run("%%shm_run\nx = 1\nx = = 2")) == "%%shm_run: invalid syntax in line 3 of the cell: x = = 2"
    )
    assert "'return' outside function in line 2 of the cell" in mistake(kernel.run("%%shm_run\nreturn 1"))
    assert "import * only allowed at module level" in mistake(kernel.run("%%shm_run\nfrom os import *"))


def test_an_error_is_shown_with_the_lines_of_the_cell_and_none_of_ours(kernel):
    shown = kernel.run("%%shm_run --workers 2\ndef inner(x):\n    return 1 / x\n\ninner(0)")

    (error,) = shown.errors
    assert error["ename"] == "ZeroDivisionError"
    text = trace(shown)
    assert "line 5" in text
    assert "inner(0)" in text
    assert "line 3" in text
    assert "return 1 / x" in text
    assert "of 2)" in text
    assert "jupyter_shm" not in text


def test_an_error_of_the_store_in_a_cell_shows_its_line_too(kernel):
    text = trace(kernel.run("%%shm_run\nx = 1\nshm.get('nothing of this name')"))

    assert "line 3" in text
    assert "ObjectNotFoundError" in text


def test_variables_stay_as_they_were_when_a_cell_fails(kernel):
    kernel.run("b = 'before'")
    kernel.run("%%shm_run --workers 2 --get b\nb = 1\nif worker: raise ValueError")

    assert kernel.value("b") == "before"


def test_when_one_worker_fails_the_others_are_given_up(kernel):
    began = time.monotonic()
    shown = kernel.run(
        "%%shm_run --workers 2\nif worker: shm.get('go', timeout=60); raise ValueError('mine')\n"
        "shm.put(1, 'go'); time.sleep(600)"
    )

    assert shown.errors[0]["ename"] == "ValueError"
    assert time.monotonic() - began < 300  # nobody has waited for the sleeper


def test_a_worker_that_dies_is_one_line(kernel):
    assert "ended before the task did" in mistake(kernel.run("%%shm_run\nos._exit(3)"))


def test_interrupting_the_cell_ends_it_on_all_workers(kernel, tmp_path):
    kernel.run(f"begun = {str(tmp_path)!r}")
    interrupted = []
    group = os.getpgid(kernel.value("os.getpid()"))

    def interrupt() -> None:
        assert eventually(lambda: len(list(tmp_path.iterdir())) == 2, seconds=60)
        interrupted.append(time.monotonic())
        os.killpg(group, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    shown = kernel.run("%%shm_run --workers 2 --put begun\nopen(f'{begun}/{worker}', 'w').close(); time.sleep(600)")
    took = time.monotonic() - interrupted[0]
    thread.join()

    assert shown.errors[0]["ename"] == "KeyboardInterrupt"
    assert "jupyter_shm/" not in trace(shown)
    assert took < 60
    assert kernel.run("%%shm_run\n'again'").out == "'again'\n"


def test_the_help_shows_the_usage(kernel):
    (page,) = kernel.run("%%shm_run?").reply["payload"]

    assert "--workers" in page["data"]["text/plain"]


def test_unloading_takes_it_away(kernel):
    kernel.run("%unload_ext jupyter_shm")
    assert "not found" in kernel.run("%%shm_run\n1").err + str(kernel.last_reply)
    kernel.run("%load_ext jupyter_shm")
    assert kernel.run("%%shm_run\n1").out == "1\n"
