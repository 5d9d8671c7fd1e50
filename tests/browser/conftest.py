"""Fixtures of the tests in a browser: one Chromium and one JupyterLab for all tests of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from browsers import ARGUMENTS, chromium
from lab_page import READY, TIMEOUT, load
from lab_server import CAPACITY, LabServer

from jupyter_shm.client.store import Store

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

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
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
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
            load(page, lab, f"lab/tree/{name}")
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
