"""What the tests say to a page of JupyterLab, or of Notebook 7, and how they load it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab_server import TOKEN, LabServer

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

SIDEBAR = "#jupyter-shm-sidebar"

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
RUN = """async cell => {
  const notebook = window.jupyterapp.shell.currentWidget;
  notebook.content.activeCellIndex = cell;
  await window.jupyterapp.commands.execute('notebook:run-cell');
}"""
ADD = """async code => {
  const { shell, commands } = window.jupyterapp;
  shell.activateById(shell.currentWidget.id);
  await commands.execute('notebook:insert-cell-below');
  shell.currentWidget.content.activeCell.model.sharedModel.setSource(code);
  await commands.execute('notebook:run-cell');
}"""
COMMAND = "([id, args]) => window.jupyterapp.commands.execute(id, args)"
SOURCES = """() => window.jupyterapp.shell.currentWidget.content.widgets.map(
  cell => cell.model.sharedModel.getSource())"""
OUTPUT = """() => window.jupyterapp.shell.currentWidget.content.activeCell.node.querySelector(
  '.jp-OutputArea')?.textContent"""
ELSEWHERE = """async ([path, code]) => {
  const { sessions } = window.jupyterapp.serviceManager;
  const session = sessions.connectTo({ model: await sessions.findByPath(path) });
  const { content } = await session.kernel.requestExecute({ code }).done;
  session.dispose();
  if (content.status !== 'ok') throw new Error(`${content.ename}: ${content.evalue}`);
}"""
PATH = "() => window.jupyterapp.shell.currentWidget.context.path"


def load(page: Page, lab: LabServer, place: str) -> None:
    """Load a page with a notebook in it, and wait for its kernel.

    Args:
        page: Where.
        lab: Whose.
        place: Path below the server's address.
    """
    page.goto(f"{lab.url}/{place}?token={TOKEN}&reset")
    # evaluate() has no time-out of its own, this has.
    page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.sessionContext", timeout=3 * TIMEOUT)
    page.evaluate(READY)


def row(view: Locator, name: str) -> Locator:
    """The row of an object in a sidebar or a panel."""
    return view.get_by_role("row").filter(has=view.page.get_by_text(name, exact=True))
