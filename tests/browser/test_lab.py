"""The sidebar and the status bar in a real JupyterLab in a real browser."""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import expect

EVIL = "<img src=x onerror=\"document.title='broken'\"><b>%s"
SIDEBAR = "#jupyter-shm-sidebar"

# The server, the kernels and the browser are the file's; what they hold open changes with what the pages do.
pytestmark = pytest.mark.may_leak("descriptors", "children", reason="of the browser and the server, which go on")

RUN = """cell => (async () => {
  const notebook = window.jupyterapp.shell.currentWidget;
  notebook.content.activeCellIndex = cell;
  await window.jupyterapp.commands.execute('notebook:run-cell');
})()"""
ADD = """code => (async () => {
  const { shell, commands } = window.jupyterapp;
  await commands.execute('notebook:insert-cell-below');
  shell.currentWidget.content.activeCell.model.sharedModel.setSource(code);
  await commands.execute('notebook:run-cell');
})()"""
SOURCES = """() => window.jupyterapp.shell.currentWidget.content.widgets.map(
  cell => cell.model.sharedModel.getSource())"""


@pytest.fixture
def sidebar(show):
    """The sidebar, open beside a notebook with a kernel."""
    page = show("publisher.ipynb")
    page.evaluate("() => window.jupyterapp.commands.execute('jupyter-shm:open')")
    sidebar = page.locator(SIDEBAR)
    expect(sidebar).to_be_visible()
    return sidebar


def row(sidebar, name):
    return sidebar.get_by_role("row").filter(has=sidebar.page.get_by_text(name, exact=True))


def test_jupyterlab_is_there_and_nothing_of_ours_has_failed(page, sidebar):
    plugins = page.evaluate("() => ['plugin', 'status', 'connection'].map(id => window.jupyterapp.isPluginActivated(`jupyter-shm:${id}`))")

    assert plugins == [True, True, True]
    expect(sidebar.get_by_role("region", name="Shared memory")).to_be_visible()


def test_what_a_notebook_publishes_is_seen_pinned_and_deleted(page, sidebar, shot):
    page.evaluate(RUN, 0)
    page.evaluate(ADD, "import numpy as np\nharvest = np.arange(3000.0).reshape(30, 100)\n%shm_put harvest")

    expect(row(sidebar, "harvest")).to_be_visible()
    shot("seen")
    print(sidebar.inner_html()[:3000])
