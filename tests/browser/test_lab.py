"""The sidebar and the status bar in a real JupyterLab in a real browser."""

from __future__ import annotations

import re

import numpy as np
import pytest
from lab_page import ADD, COMMAND, ELSEWHERE, OUTPUT, PATH, RUN, SIDEBAR, SOURCES, load, row
from playwright.sync_api import expect

EVIL = "<img src=x onerror=\"document.title='broken'\"><b>%s"

# The server, its kernels and the browser are the file's: what these tests start goes on until the last one.
pytestmark = [
    pytest.mark.browser,
    pytest.mark.may_leak("descriptors", "threads", "children", "segments", reason="of browser and server, which go on"),
]


@pytest.fixture
def sidebar(page, show):
    """The sidebar, open beside the notebook that the last test left, or beside the one that publishes."""
    if page.url == "about:blank":
        show("publisher.ipynb")
    page.evaluate(COMMAND, ["jupyter-shm:open", {}])
    sidebar = page.locator(SIDEBAR)
    expect(sidebar).to_be_visible()
    return sidebar


def select(sidebar, name):
    row(sidebar, name).click()
    return sidebar.get_by_role("region", name="Selected object").or_(sidebar.locator(".jp-Shm-details"))


def test_jupyterlab_is_not_blank_and_nothing_of_ours_has_failed(page, sidebar):
    ids = [f"jupyter-shm:{name}" for name in ("plugin", "status", "connection")]

    assert page.evaluate("ids => ids.map(id => window.jupyterapp.isPluginActivated(id))", ids) == [True] * 3
    expect(sidebar.get_by_role("region", name="Shared memory")).to_be_visible()
    expect(page.get_by_role("tab", name="Shared memory")).to_have_count(1)


def test_what_a_notebook_publishes_is_seen_pinned_and_deleted(page, sidebar):
    page.evaluate(RUN, 0)
    page.evaluate(ADD, "import numpy as np\nharvest = np.arange(3000.0).reshape(30, 100)\n%shm_put harvest")

    details = select(sidebar, "harvest")
    expect(details).to_contain_text("float64")
    details.get_by_role("button", name="Pin", exact=True).click()
    expect(details.get_by_role("button", name="Unpin")).to_have_attribute("aria-pressed", "true")
    page.evaluate(ADD, "print(__import__('jupyter_shm').info('harvest').pinned)")
    assert page.evaluate(OUTPUT).strip() == "True"

    details.get_by_role("button", name="Delete").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Cancel").click()
    expect(row(sidebar, "harvest")).to_be_visible()
    details.get_by_role("button", name="Delete").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Delete").click()

    expect(row(sidebar, "harvest")).to_have_count(0)
    page.evaluate(ADD, "print('harvest' in __import__('jupyter_shm').connect())")
    assert page.evaluate(OUTPUT).strip() == "False"
    page.evaluate(ADD, "published = harvest\n%shm_put published")


def test_a_name_full_of_markup_stays_text(page, sidebar, store):
    store.put(np.arange(10), EVIL)

    details = select(sidebar, EVIL)
    expect(details.get_by_role("heading")).to_have_text(EVIL)
    details.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("alertdialog")).to_contain_text(EVIL)
    page.get_by_role("alertdialog").get_by_role("button", name="Delete").click()

    expect(row(sidebar, EVIL)).to_have_count(0)
    assert page.title() != "broken"
    assert page.evaluate("() => document.querySelectorAll('img[src=x]').length") == 0


def test_the_palette_offers_the_commands_and_asks_for_the_name(page, sidebar, store):
    store.put(1, "chosen")
    expect(row(sidebar, "chosen")).to_be_visible()
    page.evaluate(COMMAND, ["apputils:activate-command-palette", {}])
    palette = page.locator(".lm-CommandPalette")
    for label in ("Show Shared Memory", "Look at the Shared Memory Again"):
        expect(palette.get_by_text(label)).to_have_count(1)

    palette.get_by_text("Insert %shm_get into the Notebook…").click()
    dialog = page.locator(".jp-Dialog")
    expect(dialog.locator("select, input").first).to_be_visible()
    dialog.get_by_role("button", name="Insert").click()

    page.wait_for_function(f"() => ({SOURCES})().at(-1).endsWith('%shm_get chosen')")


def test_the_preview_is_made_by_the_active_notebooks_kernel(page, sidebar, store):
    store.put(np.sin(np.linspace(0, 30, 5000)), "wave")

    details = select(sidebar, "wave")
    details.get_by_role("button", name="Preview").click()

    expect(details.locator(".jp-Shm-found svg, .jp-Shm-found canvas, .jp-Shm-found table").first).to_be_visible()
    expect(details).to_contain_text("shared: an ndarray, read in place")


def test_the_status_bar_tells_and_warns(page, sidebar, store):
    item = page.locator(".jp-ShmStatus")
    expect(item).to_have_text(re.compile(r"^shm .* of 64\.0 MiB$"))

    large = store.put(np.zeros(59 << 17), "large", pin=True)
    expect(item).to_have_class(re.compile("jp-mod-warn"))
    expect(item).to_contain_text("nearly full")
    store.delete(large)
    expect(item).not_to_have_class(re.compile("jp-mod-warn"))
    page.evaluate(COMMAND, ["application:toggle-left-area", {}])
    expect(page.locator(SIDEBAR)).to_be_hidden()
    item.focus()
    page.keyboard.press("Enter")

    expect(page.locator(SIDEBAR)).to_be_visible()


# To go to another notebook takes seconds in a browser without a graphics card: the tests that need one come last.


def test_get_is_inserted_into_the_active_notebook_and_its_reading_seen_and_released(page, sidebar, show, lab, store):
    store.put(np.arange(100_000), "wanted")
    lab.notebook("reader.ipynb", "1")
    show("reader.ipynb")

    details = select(sidebar, "wanted")
    details.get_by_role("button", name="Insert").click()
    page.wait_for_function(f"() => ({SOURCES})().length === 2")
    assert page.evaluate(SOURCES)[1] == "%load_ext jupyter_shm\n%shm_get wanted"
    page.evaluate(COMMAND, ["notebook:run-cell", {}])
    sidebar.get_by_role("button", name="Refresh").click()
    expect(details.get_by_role("button", name=re.compile("reader.ipynb"))).to_be_visible()
    details.get_by_role("button", name="Release").click()
    expect(details).to_contain_text("cleared variable wanted")

    sidebar.get_by_role("button", name="Refresh").click()
    expect(details.get_by_role("button", name=re.compile("reader.ipynb"))).to_have_count(0)


def test_what_one_notebook_publishes_is_seen_and_changed_in_a_panel_of_another(page, sidebar):
    page.evaluate(ADD, "%shm_panel")
    panel = page.locator(".jp-ShmWidget")
    expect(row(panel, "published")).to_be_visible()

    page.evaluate(ELSEWHERE, ["publisher.ipynb", "shared = harvest + 1\n%shm_put shared"])
    select(panel, "shared").get_by_role("button", name="Pin", exact=True).click()
    expect(row(panel, "shared")).to_contain_text("publisher.ipynb")
    for view in (panel, sidebar):
        expect(row(view, "shared")).to_contain_text("pinned")
    page.evaluate(ADD, "kept = __import__('jupyter_shm').get('shared')")
    select(sidebar, "shared").get_by_role("button", name="Delete").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Delete").click()

    for view in (panel, sidebar):
        expect(row(view, "shared").locator(".jp-Shm-state")).to_have_text("held")
    page.evaluate(ADD, "del kept")
    for view in (panel, sidebar):
        expect(row(view, "shared")).to_have_count(0)


def test_a_panel_in_a_notebook_may_insert_too(page, sidebar):
    asked = """code => {
      const event = new CustomEvent('jupyter-shm:insert', { detail: { code }, cancelable: true });
      document.dispatchEvent(event);
      return event.defaultPrevented;
    }"""

    before = page.evaluate(SOURCES)
    assert page.evaluate(asked, "") is True
    assert page.evaluate(SOURCES) == before, "it only asked whether somebody would take code"
    assert page.evaluate(asked, "%shm_ls") is True

    page.wait_for_function(f"() => ({SOURCES})().some(source => source.endsWith('%shm_ls'))")


def test_the_notebook_that_published_is_opened_by_a_click(page, sidebar):
    assert page.evaluate(PATH) != "publisher.ipynb"

    select(sidebar, "published").get_by_role("button", name=re.compile("publisher.ipynb")).click()

    page.wait_for_function(f"() => ({PATH})() === 'publisher.ipynb'")


def test_notebook_7_has_the_sidebar_and_its_commands(page, lab, store):
    store.put(np.arange(10), "seen")
    load(page, lab, "notebooks/publisher.ipynb")

    page.evaluate(COMMAND, ["jupyter-shm:open", {}])
    sidebar = page.locator(SIDEBAR)
    select(sidebar, "seen").get_by_role("button", name="Insert").click()
    page.wait_for_function(f"() => ({SOURCES})().some(source => source.endsWith('%shm_get seen'))")
    select(sidebar, "seen").get_by_role("button", name="Preview").click()

    expect(sidebar.locator(".jp-Shm-found svg")).to_be_visible()
    expect(page.locator(".jp-ShmStatus")).to_have_count(0)
    # Notebook 7.6 complains of itself while it loads, also without us.
    page.troubles[:] = [trouble for trouble in page.troubles if "shm" in trouble.lower()]
