"""Tasks in a notebook: whose cell shows what, what an interrupt ends, and which code runs."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path

import pytest
from magics.cells import Notebook
from store_processes import end_stores_of

from jupyter_shm.testing.private import eventually

PREPARE = """
import os, sys, time, warnings
import jupyter_shm as shm
shm.init(workers=2)

@shm.remote
def touch_and_sleep(path, seconds=60):
    open(path, "w").close()
    time.sleep(seconds)

@shm.remote
def pid():
    return os.getpid()
"""


def test_what_a_task_prints_and_warns_of_appears_under_the_cell_that_submitted_it(kernel):
    kernel.run(
        "@shm.remote\n"
        "def talk(what, name=None):\n"
        "    print(what); print('to stderr', file=sys.stderr)\n"
        "    warnings.warn('careful')\n"
        "    if name: shm.get(name, timeout=30); print(what, 'again')\n"
    )
    shown = kernel.run("shm.get(talk.remote('hello'))")

    assert shown.out == "hello\n"
    assert shown.err.startswith("to stderr\n")
    assert "UserWarning: careful" in shown.err


def test_output_comes_under_its_cell_even_if_another_one_runs_by_then(kernel):
    code = "ref = talk.remote('first', 'go')"
    first = kernel.client.execute(code)
    second = kernel.client.execute("time.sleep(0.5); shm.put(1, 'go'); shm.get(ref); print('second')")
    outputs = {first: "", second: ""}
    deadline = time.monotonic() + 30
    ended = set()
    while second not in ended and time.monotonic() < deadline:
        message = kernel.client.get_iopub_msg(timeout=30)
        parent = message["parent_header"].get("msg_id")
        if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
            outputs[parent] += message["content"]["text"]
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            ended.add(parent)

    assert outputs == {first: "first\nfirst again\n", second: "second\n"}


def test_output_of_a_task_that_goes_on_is_seen_meanwhile(kernel):
    shown = kernel.run(
        "import io, contextlib\n"
        "seen = io.StringIO()\n"
        "with contextlib.redirect_stdout(seen):\n"
        "    ref = talk.remote('early', 'later')\n"
        "while 'early' not in seen.getvalue(): time.sleep(0.01)\n"
        "shm.put(1, 'later'); shm.get(ref); print(repr(seen.getvalue()))"
    )

    assert shown.out == repr("early\nearly again\n") + "\n"


@pytest.mark.parametrize("wait", ["shm.get(ref)", "shm.wait([ref])", "list(shm.as_completed([ref]))", "shm.get([ref])"])
def test_interrupting_a_cell_cancels_what_it_waits_for(kernel, tmp_path, wait, record_property):
    begun = tmp_path / "begun"
    kernel.run(
        f"other = shm.remote(lambda: time.sleep(1) or 'went on').remote(); ref = touch_and_sleep.remote({str(begun)!r})"
    )
    interrupted = []
    group = os.getpgid(kernel.value("os.getpid()"))

    def interrupt():
        assert eventually(begun.exists, seconds=30)
        time.sleep(0.2)
        interrupted.append(time.monotonic())
        os.killpg(group, signal.SIGINT)  # as Jupyter does: the workers are of that group, too

    thread = threading.Thread(target=interrupt)
    thread.start()
    shown = kernel.run(wait)
    took = time.monotonic() - interrupted[0]
    thread.join()

    assert shown.errors[0]["ename"] == "KeyboardInterrupt"
    assert took < 30  # nobody has waited for the task, which sleeps for a minute
    record_property("seconds", took)
    assert "TaskCancelledError" in kernel.run("shm.get(ref, timeout=2)").errors[0]["ename"]
    assert kernel.run("shm.get(other)").data[0]["text/plain"] == "'went on'"


def test_functions_and_classes_of_cells_work_and_the_code_of_an_edited_cell_is_what_runs(kernel):
    kernel.run(
        "class Point:\n"
        "    def __init__(self, x): self.x = x\n"
        "    def twice(self): return Point(2 * self.x)\n"
        "def helper(x): return x + 1\n"
        "SHIFT = 10\n"
        "@shm.remote\n"
        "def move(point): return Point(helper(point.twice().x) + SHIFT)"
    )
    assert (
        kernel.run("p = shm.get(move.remote(Point(1))); (p.x, type(p) is Point)").data[0]["text/plain"] == "(13, True)"
    )

    kernel.run("def helper(x): return x + 100")
    assert kernel.run("shm.get(move.remote(Point(1))).x").data[0]["text/plain"] == "112"
    kernel.run("SHIFT = 0")
    assert kernel.run("shm.get(move.remote(Point(1))).x").data[0]["text/plain"] == "102"
    kernel.run("class Point:\n    def __init__(self, x): self.x = x\n    def twice(self): return Point(3 * self.x)\n")
    assert kernel.run("shm.get(move.remote(Point(1))).x").data[0]["text/plain"] == "103"


def test_globals_that_change_in_place_are_seen_as_they_are(kernel):
    kernel.run(
        "import numpy as np\ntable, total = {}, np.zeros(3)\n@shm.remote\ndef look(): return dict(table), total.sum()"
    )
    kernel.run("shm.get(look.remote()); table['a'] = 1; total[:] = 2")

    assert kernel.run("a, b = shm.get(look.remote()); (a, float(b))").data[0]["text/plain"] == "({'a': 1}, 6.0)"


def test_a_progress_bar_is_shown_where_it_is_asked_for(kernel):
    shown = kernel.run("for ref in shm.as_completed([pid.remote() for _ in range(5)], progress=True): shm.get(ref)")

    # A widget where ipywidgets is installed, which goes on by messages of its own; else text.
    assert "5/5" in shown.err or any("0/5" in one.get("text/plain", "") for one in shown.data)


def test_workers_end_with_a_kernel_that_is_killed(tmp_path):
    from client.peers import is_alive

    folder = Path(tempfile.mkdtemp(prefix="shm-", dir="/tmp"))
    house = str(Path(__file__).parents[2])
    notebook = Notebook.start({**os.environ, "JUPYTER_SHM_RUNTIME_DIR": str(folder), "PYTHONPATH": house})
    try:
        notebook.run(PREPARE)
        # Both: one that is only starting has names in /dev/shm.
        code = "pids = set()\nwhile len(pids) < 2: pids |= {*shm.get([pid.remote() for _ in range(40)])}\npids"
        pids = notebook.run(code).data[0]["text/plain"]
        notebook.run(f"ref = touch_and_sleep.remote({str(tmp_path / 'begun')!r})")
        assert eventually((tmp_path / "begun").exists)
    finally:
        notebook.end()
        end_stores_of(folder)
        shutil.rmtree(folder)

    assert eventually(lambda: not any(is_alive(int(pid)) for pid in pids.strip("{}").split(",")))


def test_an_actor_prints_under_the_cell_that_called_it_and_an_edited_class_is_what_is_made_next(kernel):
    cell = "@shm.remote\nclass Speaker:\n    def speak(self):\n        print('{}')\n"
    kernel.run(cell.format("old") + "speaker = Speaker.remote()")
    assert kernel.run("shm.get(speaker.speak.remote())").out == "old\n"

    kernel.run(cell.format("new") + "young = Speaker.remote()")
    assert kernel.run("shm.get([young.speak.remote()]); shm.get(speaker.speak.remote())").out == "new\nold\n"
    assert not kernel.run("shm.kill(young); shm.kill(speaker)").errors
