"""The pictures in docs/images, taken anew: `JUPYTER_SHM_TEST_PICTURES=docs/images make test-slow PYTEST_FLAGS="-k pictures"`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from lab_page import ADD, COMMAND, ELSEWHERE, READY, SIDEBAR, load, row
from playwright.sync_api import expect

FOLDER = os.environ.get("JUPYTER_SHM_TEST_PICTURES", "")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER, reason="JUPYTER_SHM_TEST_PICTURES names no folder for them"),
    pytest.mark.may_leak("descriptors", "threads", "children", "segments", reason="of browser and server, which go on"),
]

THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
WIDE, HIGH = 1440, 880

BEGIN = """
import numpy as np, pandas as pd, jupyter_shm as shm
rng = np.random.default_rng(7)
x, y = np.linspace(-3, 3, 600), np.linspace(-2, 2, 450)[:, None]
shm.put(np.exp(-(x**2 + y**2) / 4) * np.sin(3 * x * y), "surface", pin=True)
carriers = rng.choice(["UA", "DL", "AA", "WN"], 100_000)
shm.put(pd.DataFrame({"carrier": carriers, "delay": rng.normal(8, 30, 100_000).round(1),
                      "distance": rng.integers(90, 4_900, 100_000)}), "flights")
shm.put(np.cumsum(rng.normal(size=900_000)), "signal")
shm.put({"rate": 0.01, "epochs": 30}, "settings")
"""
TRAIN = """
import numpy as np, jupyter_shm as shm
weights = shm.put(np.random.default_rng(1).normal(size=(700, 800)), "weights")
shm.put(np.zeros(9000), "best so far")
kept = shm.get("signal")
"""
BATCH = 'shm.put(rng.normal(size=1_400_000), "batch %d", ttl=%s)'
LATER = """
from jupyter_shm.client.pending import pend
first = shm.get("batch 1"); shm.delete("batch 1")
store = shm.connect()
result = pend(store.session)
scratch = shm.put(rng.normal(size=300_000))
"""
BETTER = 'shm.put(np.ones(9000), "best so far"); mine = shm.get("weights"); table = shm.get("flights")'
FULL = 'shm.put(np.zeros(4_000_000), "archive", pin=True)'
REPORT = ["%load_ext jupyter_shm", '%shm_get flights\nflights.groupby("carrier").delay.mean().round(1)']


@pytest.fixture(scope="module")
def scene(lab, the_page):
    """A store in which something has happened for half a minute, and two notebooks that did it."""
    page = the_page
    page.set_viewport_size({"width": WIDE, "height": HIGH})
    lab.notebook("analysis.ipynb", "")
    lab.notebook("training.ipynb", "")
    lab.notebook("report.ipynb", *REPORT)
    load(page, lab, "lab/tree/training.ipynb")
    open_notebook(page, "analysis.ipynb")

    def both(name: str, code: str, seconds: float = 0.0) -> None:
        page.evaluate(ELSEWHERE, [name, code])
        page.wait_for_timeout(seconds * 1000)  # there is to be something in the timeline

    both("analysis.ipynb", BEGIN, 4)
    both("training.ipynb", TRAIN, 3)
    for number, ttl in enumerate((None, 11, 12, 3600, 3600), 1):
        both("analysis.ipynb", BATCH % (number, ttl), 3)
    both("analysis.ipynb", LATER, 4)
    both("training.ipynb", BETTER, 5)
    return page


def open_notebook(page, name: str) -> None:
    page.evaluate("path => window.jupyterapp.commands.execute('docmanager:open', {path})", name)
    page.wait_for_function("name => window.jupyterapp.shell.currentWidget?.context?.path === name", arg=name)
    page.evaluate(READY)


def dress(page, theme: str) -> None:
    page.evaluate(COMMAND, ["apputils:change-theme", {"theme": THEMES[theme]}])
    page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=THEMES[theme])
    page.wait_for_timeout(700)


def take(target, name: str) -> None:
    target.screenshot(path=Path(FOLDER) / f"{name}.png")


def test_pictures_of_the_panel(scene):
    page = scene
    open_notebook(page, "analysis.ipynb")
    page.evaluate(COMMAND, ["application:toggle-left-area", {}])
    page.evaluate(ADD, "shm.Panel(height='700px')")
    panel = page.locator(".jp-ShmWidget")
    expect(row(panel, "surface")).to_be_visible()
    for theme, name in {"light": "surface", "dark": "flights"}.items():
        dress(page, theme)
        row(panel, name).click()
        panel.get_by_role("button", name="Preview").click()
        expect(panel.locator(".jp-Shm-look")).to_be_visible()
        panel.get_by_role("button", name="1 min").click()
        page.mouse.move(0, 0)
        take(panel, f"panel-{theme}")


def test_pictures_of_the_sidebar(scene):
    page = scene
    dress(page, "light")
    open_notebook(page, "report.ipynb")
    page.evaluate(COMMAND, ["notebook:run-all-cells", {}])
    page.evaluate(COMMAND, ["jupyter-shm:open", {}])
    widen(page, 440)
    sidebar = page.locator(SIDEBAR)
    row(sidebar, "signal").click()
    sidebar.get_by_role("button", name="Preview").click()
    expect(sidebar.locator(".jp-Shm-look")).to_be_visible()
    sidebar.get_by_role("button", name="1 min").click()
    page.mouse.move(900, 600)
    take(page, "jupyterlab-light")

    page.evaluate(ELSEWHERE, ["analysis.ipynb", FULL])
    expect(page.locator(".jp-ShmStatus.jp-mod-warn")).to_be_visible()
    dress(page, "dark")
    take(page, "jupyterlab-dark")


def widen(page, width: int) -> None:
    handle = page.locator("#jp-left-stack + .lm-SplitPanel-handle, #jp-main-split-panel > .lm-SplitPanel-handle").first
    box = handle.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 300)
    page.mouse.down()
    page.mouse.move(box["x"] + width - page.locator(SIDEBAR).bounding_box()["width"], box["y"] + 300)
    page.mouse.up()
