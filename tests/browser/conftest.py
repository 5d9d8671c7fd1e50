"""Fixtures of the tests in a browser: one Chromium and one JupyterLab for all tests of a file.

Where one of the two is missing, or what browsers run was not built, the tests are skipped and say what is missing.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from lab_server import CAPACITY, TOKEN, LabServer

from jupyter_shm.client.store import Store

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --disable-dev-shm-usage"
)
BUILT = Path(sys.prefix) / "share" / "jupyter" / "labextensions" / "jupyter-shm" / "package.json"

TIMEOUT = 20_000
"""Milliseconds that a page has for anything, on a machine that may be busy."""

READY = """() => Promise.race([
  (async () => {
    const app = window.jupyterapp;
    await app.restored;
    const notebook = app.shell.currentWidget;
    await notebook.context.ready;
    await notebook.sessionContext.ready;
    await notebook.sessionContext.session.kernel.info;
  })(),
  new Promise((_, no) => setTimeout(() => no(new Error("the kernel was not ready in 60 s")), 60000))])"""


def chromium() -> str | None:
    """The browser that is to be used."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM)), None)


def what_is_missing() -> str:
    """Why there is nothing to test here; ``""`` where there is."""
    for module in ("playwright", "jupyterlab"):
        if importlib.util.find_spec(module) is None:
            return f"{module} is not installed"
    if chromium() is None:
        return "no Chromium was found: `apt install chromium`, or name one in the variable CHROMIUM"
    if not BUILT.is_file():
        return f"the JupyterLab extension is not installed ({BUILT}): it was not built, see hatch_build.py"
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, rather than fail, where a browser or something for it is missing."""
    here = Path(__file__).parent
    mine = [item for item in items if here in item.path.parents]
    reason = what_is_missing() if mine else ""
    for item in mine if reason else ():
        item.add_marker(pytest.mark.skip(reason=reason))


# Of a module, not of the session: while Playwright is open its event loop runs, and no other can in this thread.


@pytest.fixture(scope="module")
def lab() -> Iterator[LabServer]:
    """A JupyterLab that has been started."""
    server = LabServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium that has been started."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS.split())
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def the_page(lab: LabServer, browser: Browser) -> Iterator[Page]:
    """One page for all tests of a file: to load JupyterLab takes seconds."""
    from playwright.sync_api import expect

    lab.notebook("publisher.ipynb", "%load_ext jupyter_shm")
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.set_default_timeout(TIMEOUT)
    expect.set_options(timeout=TIMEOUT)
    page = context.new_page()
    page.troubles = []
    page.on("pageerror", lambda error: page.troubles.append(str(error)))
    page.on("console", lambda said: page.troubles.append(said.text) if said.type == "error" else None)
    yield page
    context.close()


@pytest.fixture
def page(the_page: Page) -> Iterator[Page]:
    """The page; a test fails that makes it complain."""
    the_page.troubles.clear()
    yield the_page
    assert the_page.troubles == []


@pytest.fixture
def show(lab: LabServer, page: Page) -> Callable[[str], Page]:
    """Open a notebook and wait for its kernel; the first one loads JupyterLab."""

    def open_notebook(name: str) -> Page:
        if page.url == "about:blank":
            page.goto(f"{lab.url}/lab/tree/{name}?token={TOKEN}&reset")
            # evaluate() has no time-out of its own, this has.
            page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.sessionContext", timeout=3 * TIMEOUT)
        else:
            page.evaluate("path => window.jupyterapp.commands.execute('docmanager:open', {path})", name)
            page.wait_for_function("name => window.jupyterapp.shell.currentWidget?.context?.path === name", arg=name)
        page.evaluate(READY)
        return page

    return open_notebook


@pytest.fixture
def store(lab: LabServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A connection to the store that the kernels and the pages of the server see; what a test adds goes with it."""
    monkeypatch.setenv("JUPYTER_SHM_RUNTIME_DIR", str(lab.runtime))
    with Store(capacity=CAPACITY) as store:
        before = store.keys()
        yield store
        for name in {*store.keys()}.difference(before):
            store.delete(name)


@pytest.fixture
def shot(page: Page) -> Callable[[str], None]:
    """Keep a picture of the page, if JUPYTER_SHM_TEST_PICTURES names a folder for it."""

    def take(name: str) -> None:
        folder = os.environ.get("JUPYTER_SHM_TEST_PICTURES")
        if folder:
            page.screenshot(path=Path(folder) / f"{name}.png")

    return take
