"""Panel: what it tells the page, what the page may ask of it, and that nothing is left when it is closed."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from jupyter_shm import errors
from jupyter_shm.client.pending import forward, fulfil, pend
from jupyter_shm.client.refs import ObjectRef
from jupyter_shm.client.store import Store
from jupyter_shm.panel import audience as looking
from jupyter_shm.panel import deeds
from jupyter_shm.panel.widget import Panel
from jupyter_shm.testing.private import eventually


@pytest.fixture
def store(runtime_folder):
    with Store(capacity="64MiB") as store:
        yield store


class Page:
    """The other end of a panel: keeps what is sent, and applies it as the page does."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.answers: list[dict] = []
        self.calls = 0
        panel.send = self.answers.append

    def objects(self) -> dict[str, dict]:
        """By name, as of the state and the diff."""
        if not self.panel._state:
            return {}
        state = json.loads(self.panel._state)
        found = {entry["id"]: entry for entry in state["objects"]}
        diff = json.loads(self.panel._diff or "null")
        if diff and diff["base"] == state["revision"]:
            found.update((entry["id"], entry) for entry in diff["changed"])
            for id in diff["gone"]:
                del found[id]
        return {entry["name"]: entry for entry in found.values()}

    def hear(self, content: object) -> None:
        self.panel._handle_custom_msg(content, [])

    def ask(self, verb: str, name: str, **other: object) -> dict:
        """What the panel answers."""
        entry = self.objects()[name]
        self.calls += 1
        target = {key: entry[key] for key in ("id", "name", "version")}
        target["incarnation"] = json.loads(self.panel._state)["incarnation"]
        self.hear({"kind": "do", "call": self.calls, "verb": verb, "target": {**target, **other}})
        answer = self.answers.pop()
        assert (answer.pop("kind"), answer.pop("call")) == ("done", self.calls)
        return answer


@pytest.fixture
def page(store):
    panel = Panel()
    panel._repr_mimebundle_()
    yield Page(panel)
    panel.close()


def test_showing_it_tells_what_there_is_and_then_what_changes(store, page):
    store.put(np.arange(6.0).reshape(2, 3), "x")
    assert eventually(lambda: "x" in page.objects())
    assert page.objects()["x"]["shape"] == [2, 3]

    store.pin("x")
    store.put(1, "y")

    assert eventually(lambda: page.objects().keys() == {"x", "y"} and page.objects()["x"]["pinned"])


def test_a_small_change_of_much_is_told_as_a_change(store, page):
    for number in range(100):
        store.put(number, f"n{number}")
    assert eventually(lambda: len(page.objects()) == 100)
    page.panel._diff = ""
    before = page.panel._state

    store.put(1, "one more")

    assert eventually(lambda: "one more" in page.objects())
    assert page.panel._state == before
    assert len(page.panel._diff) < len(before) / 4


def test_it_has_a_repr_without_addresses(page):
    assert repr(page.panel) == "Panel(store='default')"
    assert page.panel._repr_mimebundle_()[0]["text/plain"] == "Panel(store='default')"


def test_before_it_is_shown_nothing_is_followed(store):
    panel = Panel()

    assert panel._state == ""
    assert store.stats().clients == 1
    panel.close()


def test_the_page_may_pin_unpin_and_delete(store, page):
    store.put(1, "x")
    assert eventually(lambda: "x" in page.objects())

    assert page.ask("pin", "x") == {}
    assert store.info("x").pinned
    assert page.ask("unpin", "x") == {}
    assert not store.info("x").pinned
    assert page.ask("delete", "x") == {}
    assert "x" not in store


def test_what_the_page_means_is_the_version_that_it_shows(store, page):
    store.put(1, "x")
    assert eventually(lambda: "x" in page.objects())
    shown = page.objects()["x"]
    store.put(2, "x")

    answer = page.ask("delete", "x", id=shown["id"], version=1)

    assert "gone" in answer["error"]
    assert store["x"] == 2


def test_a_preview_is_data(store, page):
    store.put({"<script>": 1}, "x")
    assert eventually(lambda: "x" in page.objects())

    answer = page.ask("preview", "x")

    assert answer["preview"] == {"kind": "text", "text": "{'<script>': 1}", "note": ""}
    assert "pickle stream" in answer["memory"]
    assert not store.info("x").holders


def test_what_would_take_long_to_unpickle_is_not_looked_at(store, page, monkeypatch):
    monkeypatch.setattr(deeds, "LONG", 1000)
    store.put(list(range(1000)), "list")
    store.put(np.arange(1000), "array")
    assert eventually(lambda: page.objects().keys() == {"list", "array"})

    assert "unpickle" in page.ask("preview", "list")["error"]
    assert page.ask("preview", "array")["preview"]["kind"] == "line"


def test_an_object_without_a_name_can_be_looked_at_and_ended(store, page):
    view = store.put(np.arange(5))
    assert eventually(lambda: "" in page.objects())

    assert page.ask("preview", "")["preview"]["kind"] == "line"
    assert page.ask("delete", "") == {}
    assert eventually(lambda: page.objects().get("", {}).get("state") != "live")
    del view


def test_what_is_still_to_be_made_is_seen_and_not_waited_for_until_it_is_there(store, page):
    ref = pend(store.session)
    page.hear({"kind": "open"})
    assert eventually(lambda: page.objects().get("", {}).get("state") == "pending")
    assert "still to be made" in page.ask("preview", "")["error"]
    assert "still to be made" in page.ask("delete", "")["error"]

    fulfil(store.session, ref, np.arange(5))
    page.hear({"kind": "open"})

    assert eventually(lambda: page.objects()[""]["state"] == "live")
    assert page.ask("preview", "")["preview"]["kind"] == "line"
    del ref


def test_what_stands_for_something_that_is_still_to_be_made_is_not_waited_for(store, page):
    outer, inner = pend(store.session), pend(store.session)
    forward(store.session, outer, inner)
    page.hear({"kind": "open"})
    assert eventually(lambda: any(one["state"] == "live" for one in page.objects().values()))

    assert "error" in page.ask("preview", "", id=str(outer.id))
    del outer, inner


class CannotBeRebuilt:
    def __reduce__(self):
        return (sys.modules[__name__].refuse, ())


def refuse() -> None:
    raise RuntimeError("not here")


def test_what_cannot_be_rebuilt_here_is_an_error_in_the_page(store, page):
    store.put(CannotBeRebuilt(), "x")
    assert eventually(lambda: "x" in page.objects())

    assert "not here" in page.ask("preview", "x")["error"]


def test_release_without_a_notebook_says_so(store, page):
    store.put(1, "x")
    assert eventually(lambda: "x" in page.objects())

    assert "no notebook" in page.ask("release", "x")["error"]


NONSENSE = [
    {"verb": "format"},
    {"verb": "pin", "target": None},
    {"verb": "pin", "target": {"id": "x", "name": "x", "version": 1, "incarnation": "1"}},
    {"verb": "pin", "target": {"id": 5, "name": "x", "version": 1, "incarnation": "1"}},
    {"verb": "delete", "target": {"id": "5", "name": "x", "version": 1, "incarnation": "1"}},
]


@pytest.mark.parametrize("wrong", NONSENSE, ids=str)
def test_a_request_that_makes_no_sense_is_answered_with_an_error(store, page, wrong):
    page.hear({"kind": "do", "call": 1, "target": {}, **wrong})

    assert page.answers[0]["error"]


@pytest.mark.parametrize("content", [{}, {"kind": "do"}, {"kind": "select", "id": 5}, [1], "x", None], ids=repr)
def test_a_message_that_is_none_changes_nothing(store, page, content):
    page.hear(content)

    assert page.answers == []


def test_what_is_selected_there_can_be_fetched_here(store, page):
    store.put(5, "x")
    anonymous = store.put(6)
    assert eventually(lambda: page.objects().keys() == {"x", ""})
    seen = []
    page.panel.observe(lambda change: seen.append(change["new"]), "selection")

    page.hear({"kind": "select", "id": page.objects()["x"]["id"]})
    assert page.panel.selection == "x"
    assert store.get(page.panel.selection) == 5
    page.hear({"kind": "select", "id": page.objects()[""]["id"]})
    assert page.panel.selection == anonymous
    assert store.get(page.panel.selection) == 6
    page.hear({"kind": "select", "id": ""})

    assert seen == ["x", ObjectRef(anonymous.store, anonymous.id, "", 0), None]


def test_what_is_selected_here_is_selected_there(store, page):
    store.put(5, "x")
    assert eventually(lambda: "x" in page.objects())

    page.panel.selection = "x"
    assert page.panel._selected == page.objects()["x"]["id"]
    page.panel.selection = "nobody"
    assert page.panel._selected == ""
    with pytest.raises(errors.InvalidArgumentError, match="got 5"):
        page.panel.selection = 5


def test_what_is_selected_before_anything_is_known_is_selected_when_it_comes(store):
    store.put(5, "x")
    panel = Panel()
    panel.selection = "x"
    page = Page(panel)

    panel._repr_mimebundle_()

    assert eventually(lambda: "x" in page.objects())
    assert eventually(lambda: panel._selected == page.objects()["x"]["id"])
    panel.close()


def test_it_stops_following_when_nobody_looks_and_goes_on_when_somebody_does(store, page, monkeypatch):
    monkeypatch.setattr(looking, "PATIENCE", 0.0)
    assert eventually(lambda: page.panel._state)
    assert eventually(lambda: store.put(1, "x") and not page.panel._follower.is_running)
    assert eventually(lambda: store.stats().clients == 1)
    monkeypatch.setattr(looking, "PATIENCE", 1000.0)

    page.hear({"kind": "open"})

    store.put(1, "y")
    assert eventually(lambda: "y" in page.objects())


def test_who_was_taken_for_gone_and_says_that_he_looks_is_told_on(store, page, monkeypatch):
    monkeypatch.setattr(looking, "PATIENCE", 0.0)
    assert eventually(lambda: page.panel._state)
    assert eventually(lambda: store.put(1, "x") and not page.panel._follower.is_running)
    monkeypatch.setattr(looking, "PATIENCE", 1000.0)

    page.hear({"kind": "seen"})

    store.put(1, "y")
    assert eventually(lambda: "y" in page.objects())


def test_closing_lets_go_of_everything(store):
    panel = Panel()
    panel._repr_mimebundle_()
    page = Page(panel)
    store.put(np.arange(10), "x")
    assert eventually(lambda: "x" in page.objects())
    page.ask("preview", "x")

    panel.close()
    panel.close()

    assert eventually(lambda: store.stats().clients == 1)


def test_a_store_of_another_name_may_be_shown(runtime_folder):
    with Store("other", capacity="16MiB") as other:
        other.put(1, "x")
        panel = Panel(other, height="100px")
        panel._repr_mimebundle_()
        assert eventually(lambda: "x" in Page(panel).objects())
        assert (panel.store, panel.height) == ("other", "100px")
        panel.close()
