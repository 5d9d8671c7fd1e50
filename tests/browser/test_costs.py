"""What the pages cost with 5,000 objects: frames while one scrolls, processor time while nothing changes.

`make test-slow PYTEST_FLAGS="-s tests/browser/test_costs.py"` prints the figures.
"""

from __future__ import annotations

import time

import psutil
import pytest
from lab_page import ADD, COMMAND, SIDEBAR
from playwright.sync_api import expect
from scrolling import SCROLL, told
from store_processes import name_of, processes_of

OBJECTS = 5000
SECONDS = 30

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.may_leak("descriptors", "threads", "children", "segments", reason="of browser and server, which go on"),
]


@pytest.fixture
def crowded(page, show, store):
    """The page, with as many objects in the store."""
    show("publisher.ipynb")
    for number in range(OBJECTS):
        store.put(number, f"object {number}")
    return page


def spent(lab) -> dict[str, float]:
    """Seconds of processor time so far, of each process that has to do with it."""
    server = psutil.Process(lab.pid)
    found = {f"{name_of(pid)} {pid}": psutil.Process(pid) for pid in processes_of(lab.runtime)}
    found |= {"server": server} | {f"kernel {one.pid}": one for one in server.children()}
    return {name: sum(process.cpu_times()[:2]) for name, process in found.items()}


def spent_while_nothing_happens(page, lab, settled: float) -> dict[str, float]:
    page.wait_for_timeout(settled * 1000)
    before = spent(lab)
    time.sleep(SECONDS)
    return {name: seconds - before.get(name, 0.0) for name, seconds in spent(lab).items()}


def test_thousands_of_objects_scroll_in_the_sidebar(crowded, capsys):
    crowded.evaluate(COMMAND, ["jupyter-shm:open", {}])
    expect(crowded.locator(f"{SIDEBAR} .jp-Shm-count")).to_contain_text("objects")

    found = crowded.evaluate(SCROLL, SIDEBAR)

    with capsys.disabled():
        print(f"\n{OBJECTS:,} objects in the sidebar: {told(found)}")
    assert found["wrong"] == []


def test_nothing_runs_while_nothing_changes(crowded, lab, capsys):
    crowded.evaluate(COMMAND, ["jupyter-shm:open", {}])
    crowded.evaluate(ADD, "%load_ext jupyter_shm\n%shm_panel")
    panel = crowded.locator(".jp-ShmWidget")
    expect(panel.locator(".jp-Shm-count")).to_contain_text(f"{OBJECTS:,} objects")
    shown = spent_while_nothing_happens(crowded, lab, 10)

    crowded.evaluate(ADD, "panel = %shm_panel\npanel.close()")
    crowded.evaluate(COMMAND, ["application:toggle-left-area", {}])
    hidden = spent_while_nothing_happens(crowded, lab, 5)

    with capsys.disabled():
        print(f"\nprocessor time in {SECONDS} s, with sidebar and panel, and without:")
        for name, seconds in shown.items():
            print(f"  {name:24} {seconds * 1000:6.0f} ms {hidden.get(name, 0.0) * 1000:6.0f} ms")
    # Server and kernel have habits of their own; a hundredth of a processor more would be ours.
    assert sum(shown.values()) - sum(hidden.values()) < SECONDS / 100
