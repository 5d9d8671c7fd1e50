"""The page itself, in a real browser, with a kernel that is none: what it shows, asks for, and leaves alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from browsers import ARGUMENTS, WIDGET, chromium
from contract_cases import HTML, first_state, info, next_state
from playwright import sync_api
from scrolling import SCROLL, told

from jupyter_shm.panel import feed

BUNDLE = WIDGET.parent

pytestmark = [
    pytest.mark.browser,
    # Of the browser and its driver, which live as long as the tests of this file.
    pytest.mark.may_leak("descriptors", "threads", "children", "segments", reason="one browser for all tests"),
]

SPOKEN = """
- region "Shared memory":
  - meter "Shared memory"
  - list
  - searchbox "Filter objects"
  - status: 7 objects, 90.2 MiB
  - button "Refresh"
  - grid "Objects":
    - rowgroup:
      - row:
        - columnheader "Name":
          - button "Name"
    - rowgroup:
      - row /^array ndarray 1,024 . 1,024 8.0 MiB .* 1 live$/ [selected]:
        - rowheader "array"
        - gridcell "live"
  - region "Selected object":
    - heading "array" [level=2]
    - button "Close"
    - group "Actions":
      - button "Copy"
      - button "Preview"
      - button "Pin"
      - button "Release"
      - button "Delete…"
    - term: Type
    - definition: numpy.ndarray
  - button "Lifetimes" [expanded]
  - group "Time shown":
    - button "5 min" [pressed]
  - region "Lifetimes":
    - 'img /^7 objects in the last 5 min; the last event: delete gone, .* ago$/'
"""
"""What a screen reader is told, among other things."""

WALK = "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"

KERNEL = """
async ([source, values]) => {
  const listeners = {};
  const kernel = window.kernel = {
    sent: [], frames: 0,
    get: name => values[name],
    set: (name, value) => { values[name] = value; },
    on: (event, heard) => { (listeners[event] ??= new Set()).add(heard); },
    off: (event, heard) => { listeners[event]?.delete(heard); },
    send: content => { kernel.sent.push(content); },
    tell: (name, value) => { values[name] = value; listeners[`change:${name}`]?.forEach(heard => heard()); },
    answer: content => listeners['msg:custom']?.forEach(heard => heard(content)),
    listening: () => Object.values(listeners).reduce((sum, some) => sum + some.size, 0),
  };
  const draw = window.requestAnimationFrame.bind(window);
  window.requestAnimationFrame = callback => { kernel.frames += 1; return draw(callback); };
  const module = await import(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })));
  const face = module.default();
  const end = face.initialize({ model: kernel });
  const close = face.render({ model: kernel, el: document.getElementById('output') });
  kernel.close = () => { close(); end(); };
}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield browser
        browser.close()


class Widget:
    """A page that shows a panel, and the kernel's end of it."""

    def __init__(self, page: sync_api.Page, state: feed.State) -> None:
        self.page = page
        self.base = state
        style = (BUNDLE / "widget.css").read_text()
        page.set_content(f"<style>{style}</style><div id=output></div>")
        values = {"_state": feed.encode(state), "_diff": "", "_selected": "", "height": "600px"}
        page.evaluate(KERNEL, [(BUNDLE / "widget.js").read_text(), values])

    def tell(self, state: feed.State) -> None:
        change = feed.change(self.base, state)
        self.page.evaluate("([name, text]) => kernel.tell(name, text)", ["_diff", feed.encode(change)])

    def sent(self, kind: str) -> list[dict]:
        return [one for one in self.page.evaluate("kernel.sent") if one["kind"] == kind]

    def answer(self, **told: object) -> None:
        call = self.sent("do")[-1]["call"]
        self.page.evaluate("content => kernel.answer(content)", {"kind": "done", "call": call, **told})

    def rows(self) -> list[str]:
        return self.page.locator(".jp-Shm-row .jp-Shm-nameText").all_text_contents()

    def row(self, name: str):
        return self.page.locator(".jp-Shm-nameText").get_by_text(name, exact=True)

    def button(self, name: str):
        return self.page.get_by_role("button", name=name, exact=True)

    def status(self):
        return self.page.locator(".jp-Shm-status")


@pytest.fixture
def open_page(browser):
    """Shows a state; fails if the page did."""
    context = browser.new_context(viewport={"width": 1200, "height": 700})
    context.set_default_timeout(10_000)
    page = context.new_page()
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("dialog", lambda dialog: failures.append(dialog.message))
    yield lambda state: Widget(page, state)
    context.close()
    assert failures == []


@pytest.fixture
def widget_page(open_page) -> Widget:
    shown = open_page(first_state())
    shown.page.wait_for_selector(".jp-Shm-row")
    return shown


def many(count: int) -> feed.State:
    """So many objects, published long ago."""
    plain = first_state()
    some = [info(f"object {number}", number, created=HTML.created.replace(year=2020)) for number in range(count)]
    entries = tuple(feed._entry(one, plain.now) for one in some)
    return msgspec.structs.replace(plain, objects=entries, events=())


def test_what_is_told_is_shown_and_names_stay_text(widget_page):
    assert set(widget_page.rows()) == {"array", "flights", HTML.name, "old", "gone", "(anonymous)"}
    assert widget_page.page.locator("img").count() == 0
    widget_page.row(HTML.name).click()
    sync_api.expect(widget_page.page.get_by_role("heading", name=HTML.name)).to_be_visible()
    meter = widget_page.page.get_by_role("meter", name="Shared memory")
    assert meter.get_attribute("aria-valuetext") == "796.0 MiB of 1.0 GiB used (78 %)"


def test_a_change_is_shown_and_the_selection_follows_the_name(widget_page):
    widget_page.row("array").click()

    widget_page.tell(next_state())

    sync_api.expect(widget_page.page.locator(".jp-Shm-row")).to_have_count(6)
    assert "old" not in widget_page.rows()
    assert "(97 %)" in widget_page.page.locator(".jp-Shm-usageText").text_content()
    sync_api.expect(widget_page.page.locator(".jp-Shm-row.jp-mod-selected")).to_contain_text("array")
    ids = [one["id"] for one in widget_page.sent("select")]
    assert ids == [str((1 << 60) + 1), str((1 << 60) + 20)]


def test_a_diff_of_a_state_that_was_replaced_is_passed_over(widget_page):
    late = feed.encode(feed.change(first_state(), next_state()))
    newer = msgspec.structs.replace(many(3), revision=9)

    widget_page.page.evaluate("text => kernel.tell('_state', text)", feed.encode(newer))
    widget_page.page.evaluate("text => kernel.tell('_diff', text)", late)

    sync_api.expect(widget_page.page.locator(".jp-Shm-row")).to_have_count(3)


def test_two_changes_that_come_one_after_the_other_do_not_bring_back_what_was(widget_page):
    after = feed.encode(msgspec.structs.replace(next_state(), revision=9))
    widget_page.tell(next_state())
    sync_api.expect(widget_page.page.locator(".jp-Shm-row")).to_have_count(6)
    widget_page.row("array").click()

    widget_page.page.evaluate("text => { kernel.tell('_diff', ''); kernel.tell('_state', text) }", after)

    widget_page.page.evaluate("() => new Promise(requestAnimationFrame)")
    assert [one["id"] for one in widget_page.sent("select")] == [str((1 << 60) + 20)]
    assert "old" not in widget_page.rows()


def test_thousands_of_rows_scroll_with_few_in_the_page_and_no_gap(open_page):
    shown = open_page(many(5000))
    shown.page.wait_for_selector(".jp-Shm-row")

    found = shown.page.evaluate(SCROLL, "body")

    assert found["wrong"] == []
    assert found["rows"] < 60
    print(told(found))
    shown.page.get_by_role("grid").press("End")
    sync_api.expect(shown.page.locator(".jp-Shm-row.jp-mod-selected")).to_have_attribute("aria-rowindex", "5001")


def test_the_table_sorts_filters_and_is_walked_by_keys(widget_page):
    page = widget_page.page
    page.get_by_role("button", name="Name").click()
    sync_api.expect(page.get_by_role("columnheader", name="Name")).to_have_attribute("aria-sort", "ascending")
    sync_api.expect(page.locator(".jp-Shm-nameText").last).to_have_text("(anonymous)")
    page.get_by_role("searchbox").fill("NDARRAY old")
    sync_api.expect(page.locator(".jp-Shm-row")).to_have_count(1)
    sync_api.expect(page.locator(".jp-Shm-count")).to_contain_text("1 of 7 objects")
    page.get_by_role("searchbox").fill("")
    sync_api.expect(page.locator(".jp-Shm-row")).to_have_count(7)

    grid = page.get_by_role("grid")
    grid.press("Home")
    grid.press("ArrowDown")

    sync_api.expect(page.locator(".jp-Shm-row").nth(1)).to_have_attribute("aria-selected", "true")
    assert grid.get_attribute("aria-activedescendant") == page.locator(".jp-Shm-row").nth(1).get_attribute("id")
    grid.press("Escape")
    sync_api.expect(page.locator(".jp-Shm-details")).to_be_hidden()


def test_a_screen_reader_is_told_what_everything_is(widget_page):
    widget_page.row("array").click()
    sync_api.expect(widget_page.page.locator("#output")).to_match_aria_snapshot(SPOKEN)


def test_tab_walks_through_everything_in_the_order_in_which_it_is_seen(widget_page):
    widget_page.row("array").click()
    widget_page.page.get_by_role("searchbox").focus()
    order = ["Filter objects", "Refresh", "Objects", "Name", "State", "Close", "Copy", "Delete…"]
    order += ["Lifetimes", "1 min", "10 min", "Lifetimes"]

    walked = []
    while walked.count("Lifetimes") < 2:
        walked.append(widget_page.page.evaluate(WALK))
        widget_page.page.keyboard.press("Tab")

    assert [name for name in walked if name in order] == order


def test_what_is_still_to_be_made_is_seen_as_such_and_nothing_can_be_done_with_it(widget_page):
    row = widget_page.page.get_by_role("row", name=re.compile(r"pending$"))
    expect_cells(row, type="", size="", state="pending")
    row.click()

    details = widget_page.page.get_by_role("region", name="Selected object")
    sync_api.expect(details).to_contain_text("pending: it is still to be made")
    sync_api.expect(details).to_contain_text("pid 4243, a process of it")
    for button in ("Copy", "Preview", "Pin", "Delete…"):
        sync_api.expect(widget_page.button(button)).to_be_disabled()

    widget_page.tell(next_state())
    sync_api.expect(widget_page.button("Preview")).to_be_enabled()
    expect_cells(widget_page.page.locator(".jp-Shm-row.jp-mod-selected"), type="ndarray", size="8.0 MiB", state="live")


def expect_cells(row, **texts: str) -> None:
    for column, text in texts.items():
        sync_api.expect(row.locator(f".jp-Shm-{column}")).to_have_text(text)


@pytest.mark.parametrize(("filter", "said"), [("nobody has this", "No object passes"), ("", "Nothing is published")])
def test_an_empty_table_says_why(widget_page, open_page, filter, said):
    shown = widget_page if filter else open_page(msgspec.structs.replace(first_state(), objects=(), events=()))

    shown.page.get_by_role("searchbox").fill(filter)

    sync_api.expect(shown.page.locator(".jp-Shm-empty")).to_contain_text(said)


def test_what_is_selected_stays_in_sight_when_its_pane_takes_the_room(widget_page):
    widget_page.page.set_viewport_size({"width": 420, "height": 700})
    widget_page.row("array").click()  # the last one

    sync_api.expect(widget_page.page.locator(".jp-Shm-details")).to_be_visible()
    sync_api.expect(widget_page.page.locator(".jp-Shm-row.jp-mod-selected")).to_be_in_viewport(ratio=0.9)


def test_a_delete_is_asked_about_before_it_is_asked_for(widget_page):
    widget_page.row("array").click()
    widget_page.page.get_by_role("grid").press("Delete")
    dialog = widget_page.page.get_by_role("alertdialog")
    sync_api.expect(dialog).to_contain_text("1 reader")
    dialog.get_by_role("button", name="Cancel").click()
    assert widget_page.sent("do") == []

    widget_page.page.get_by_role("grid").press("Delete")
    dialog.get_by_role("button", name="Delete").click()

    widget_page.page.wait_for_function("kernel.sent.some(one => one.kind === 'do')")
    (asked,) = widget_page.sent("do")
    target = {"id": str((1 << 60) + 1), "name": "array", "version": 1, "incarnation": "77"}
    assert (asked["verb"], asked["target"]) == ("delete", target)


def test_a_kernel_that_is_busy_is_waited_for_and_its_refusal_shown_as_text(widget_page):
    widget_page.row("flights").click()
    widget_page.button("Unpin").click()
    sync_api.expect(widget_page.status()).to_have_text("waiting for the kernel…")

    widget_page.answer(error="<b>no</b>")

    sync_api.expect(widget_page.status()).to_have_text("<b>no</b>")
    assert widget_page.sent("do")[0]["verb"] == "unpin"


@pytest.mark.parametrize(
    ("kind", "selector"), {"line": "svg path", "image": "canvas", "table": "td", "text": "pre"}.items()
)
def test_every_preview_is_drawn(widget_page, kind, selector):
    previews = json.loads((Path(__file__).parents[2] / "labextension" / "contract" / "previews.json").read_text())
    widget_page.row("array").click()
    widget_page.button("Preview").click()

    widget_page.answer(preview=previews[kind], memory="all of it is shared")

    sync_api.expect(widget_page.page.locator(f".jp-Shm-look {selector}").first).to_be_attached()
    sync_api.expect(widget_page.page.locator(".jp-Shm-memory")).to_have_text("all of it is shared")
    assert widget_page.page.locator(".jp-Shm-look b").count() == 0


def test_release_says_what_was_cleared(widget_page):
    widget_page.row("array").click()
    widget_page.button("Release").click()

    widget_page.answer(text="cleared variable x")

    sync_api.expect(widget_page.status()).to_have_text("cleared variable x")


def test_code_goes_to_whoever_takes_it(widget_page):
    widget_page.page.evaluate(
        "document.addEventListener('jupyter-shm:insert', event => { event.preventDefault(); window.code = event.detail.code })"
    )
    widget_page.row("array").click()

    widget_page.button("Insert").click()

    assert widget_page.page.evaluate("window.code") == "%shm_get array"
    sync_api.expect(widget_page.status()).to_have_text("inserted")


def test_where_nobody_takes_code_there_is_only_copying(widget_page):
    widget_page.row("array").click()

    sync_api.expect(widget_page.button("Copy")).to_be_visible()
    sync_api.expect(widget_page.button("Insert")).to_be_hidden()


def test_a_fault_is_told_instead_of_a_table(widget_page):
    fault = feed.encode(feed.fault_state("default", 9, 0.0, "<i>not running</i>"))

    widget_page.page.evaluate("text => kernel.tell('_state', text)", fault)

    sync_api.expect(widget_page.page.locator(".jp-Shm-fault")).to_have_text("<i>not running</i>")
    sync_api.expect(widget_page.page.get_by_role("grid")).to_be_hidden()
    sync_api.expect(widget_page.page.get_by_role("searchbox")).to_be_hidden()


def test_a_page_that_was_opened_late_asks_and_one_that_is_told_says_that_it_is_seen(widget_page):
    page = widget_page.page
    page.wait_for_function("kernel.sent.some(one => one.kind === 'open')")

    widget_page.tell(next_state())

    page.wait_for_function("kernel.sent.some(one => one.kind === 'seen')")
    widget_page.tell(next_state())
    assert len(widget_page.sent("seen")) == 1


def test_while_nothing_changes_nothing_is_drawn(open_page):
    shown = open_page(many(50))
    shown.page.wait_for_selector(".jp-Shm-row")
    shown.page.wait_for_timeout(500)
    before = shown.page.evaluate("[kernel.frames, kernel.sent.length]")

    shown.page.wait_for_timeout(2500)

    assert shown.page.evaluate("[kernel.frames, kernel.sent.length]") == before


def test_a_closed_view_listens_to_nobody(widget_page):
    widget_page.page.evaluate("kernel.close()")

    assert widget_page.page.evaluate("kernel.listening()") == 0
    assert widget_page.page.locator(".jp-ShmView").count() == 0


@pytest.mark.parametrize("width", [245, 280, 420, 640, 900])
def test_no_width_hides_the_name_or_breaks_the_page(widget_page, width):
    widget_page.page.set_viewport_size({"width": width, "height": 700})

    box = widget_page.page.locator(".jp-Shm-row .jp-Shm-name").first.bounding_box()

    assert box["width"] >= 90
    assert box["height"] == 26, "what is out of sight is reckoned with so much for each row"
    overflow = (
        "(() => { const s = document.querySelector('.jp-Shm-tableScroll'); return s.scrollWidth - s.clientWidth })()"
    )
    assert widget_page.page.evaluate(overflow) <= 0
