"""%shm_panel in real kernels: one panel, told while a cell computes, which releases what the notebook holds."""

from __future__ import annotations

import json

import pytest


def messages_of(notebook, code: str) -> list[dict]:
    """All that a kernel sends while a cell runs, in its order."""
    id = notebook.client.execute(code, allow_stdin=False)
    found = []
    while True:
        message = notebook.client.get_iopub_msg(timeout=60)
        found.append(message)
        is_ours = message["parent_header"].get("msg_id") == id
        if is_ours and message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            return found


def told(messages: list[dict]) -> list[dict]:
    """The states and diffs among messages."""
    states = [
        message["content"]["data"].get("state", {}) for message in messages if message["msg_type"].startswith("comm_")
    ]
    texts = [state[key] for state in states for key in ("_state", "_diff") if state.get(key)]
    return [json.loads(text) for text in texts]


def names(told: list[dict]) -> set[str]:
    return {entry["name"] for one in told for entry in one.get("objects", one.get("changed", ()))}


@pytest.fixture
def shown(notebook):
    """A notebook with its panel; it is closed at the end."""
    messages = messages_of(notebook, "%shm_panel --height 300px")
    yield messages
    notebook.run("panel = %shm_panel\npanel.close()\ndel panel")


def test_the_magic_shows_a_widget_with_a_repr_without_addresses(shown):
    (bundle,) = [message["content"]["data"] for message in shown if message["msg_type"] == "display_data"]

    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"] == "Panel(store='default')"


def test_it_is_told_while_the_kernel_computes(notebook, shown):
    busy = (
        "import threading, time, jupyter_shm as shm\n"
        "done = threading.Event()\n"
        "with shm.connect() as apart, apart.watch(lambda event: done.set(), 'late'):\n"
        "    shm.put(1, 'late')\n"
        "    done.wait(30)\n"
        "    end = time.monotonic() + 3\n"
        "    while time.monotonic() < end: pass\n"
    )

    messages = messages_of(notebook, busy)

    # All of these came before the cell had ended.
    assert "late" in names(told(messages))


def test_it_is_told_of_what_another_kernel_does(notebook, other, shown):
    other.run("import jupyter_shm as shm\nshm.put(2, 'theirs')")

    messages = messages_of(notebook, "import time\ntime.sleep(2)")

    entries = {
        entry["name"]: entry for one in told(shown + messages) for entry in one.get("objects", one.get("changed", ()))
    }
    assert entries["theirs"]["owner"] == "two.ipynb"


def test_the_same_panel_is_shown_again_and_can_be_had(notebook, shown):
    notebook.run("one = %shm_panel\ntwo = %shm_panel")

    assert notebook.value("one is two")
    assert notebook.value("one.height") == "300px"
    notebook.run("del one, two")


def test_the_page_can_have_this_notebook_let_go_of_an_object(notebook, shown):
    notebook.run(
        "import numpy as np, jupyter_shm as shm\nshm.put(np.arange(1000), 'x')\nx = shm.get('x')\npanel = %shm_panel"
    )
    notebook.run(
        "ref = shm.connect().info('x')\n"
        "target = dict(id=str(ref.id), name='x', version=1, incarnation=str(shm.put(0).store))\n"
        "answers = []\n"
        "panel.send = answers.append\n"
        "panel._handle_custom_msg(dict(kind='do', call=1, verb='release', target=target), [])\n"
        "del panel.send, ref"
    )

    assert notebook.value("answers") == [{"kind": "done", "call": 1, "text": "cleared variable x"}]
    assert notebook.value("'x' in globals()") is False
    notebook.run("del panel")


def test_unloading_closes_the_panel(notebook, shown):
    notebook.run("panel = %shm_panel")

    notebook.run("%unload_ext jupyter_shm")

    assert notebook.value("panel.comm is None")
    notebook.run("del panel\n%load_ext jupyter_shm")
