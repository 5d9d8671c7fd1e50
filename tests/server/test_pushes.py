"""A page is told what the store is like, and every change of it; no store is started, and nobody's work is disturbed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from collections.abc import Callable

import numpy as np
import pytest
from store_processes import processes_of
from tornado.httpclient import HTTPClientError

from jupyter_shm.client.store import Store
from jupyter_shm.testing.private import eventually

EVIL = "<img src=x onerror=alert(1)>%s"


class Watching:
    """One page: what it shows after what it was told so far."""

    def __init__(self, socket) -> None:
        self.socket = socket
        self.is_over = False
        self.state: dict = {}
        self.messages: list[dict] = []

    async def until(self, condition: Callable[[dict], object], seconds: float = 20.0) -> dict:
        """Read until the state is such."""
        while not (self.state and condition(self.state)):
            text = await asyncio.wait_for(self.socket.read_message(), seconds)
            assert text is not None, "the server hung up"
            self._take(json.loads(text))
        return self.state

    async def leave(self) -> None:
        """Close the page, and see it closed."""
        self.socket.close()
        await self.over()

    async def over(self) -> None:
        """The server has hung up, or will."""
        while not self.is_over:
            self.is_over = await asyncio.wait_for(self.socket.read_message(), 20) is None

    def _take(self, message: dict) -> None:
        self.messages.append(message)
        if message["kind"] == "state":
            self.state = message
        elif message["kind"] == "diff":
            assert message["base"] == self.state["revision"], "a change of something that this page was never told"
            objects = {one["id"]: one for one in self.state["objects"]}
            objects.update((one["id"], one) for one in message["changed"])
            for id in message["gone"]:
                del objects[id]
            events = self.state["events"] + message["events"]
            self.state = {**self.state, **message, "kind": "state", "objects": [*objects.values()], "events": events}

    def names(self, state: dict) -> set[str]:
        return {one["name"] for one in state["objects"]}


@pytest.fixture
def watching(jp_ws_fetch, jp_asyncio_loop):
    """Open pages; they are closed with the test."""
    pages: list[Watching] = []

    async def open_page() -> Watching:
        pages.append(Watching(await jp_ws_fetch("jupyter-shm", "watch")))
        return pages[-1]

    yield open_page
    for page in pages:
        jp_asyncio_loop.run_until_complete(page.leave())


def extension(app):
    return app.extension_manager.extensions["jupyter_shm"].extension_points["jupyter_shm"].app


async def test_a_page_is_told_that_no_store_runs_and_none_is_started(watching, jp_fetch, runtime_folder):
    page = await watching()

    state = await page.until(lambda state: state["fault"])
    answer = await jp_fetch("jupyter-shm", "state")

    assert "is not running" in state["fault"]
    assert json.loads(answer.body)["fault"] == state["fault"]
    assert processes_of(runtime_folder) == {}


async def test_a_page_sees_a_store_come_change_and_go(watching, runtime_folder):
    page = await watching()
    await page.until(lambda state: state["fault"])

    store = await asyncio.to_thread(Store, capacity="64MiB")
    await page.until(lambda state: not state["fault"] and not state["objects"])  # though it is empty
    store.put(np.arange(1000), "x")
    (found,) = (await page.until(lambda state: page.names(state) == {"x"}))["objects"]
    assert (found["shape"], found["dtype"], found["pinned"]) == ([1000], "int64", False)
    store.pin("x")
    await page.until(lambda state: state["objects"][0]["pinned"])
    store.delete("x")
    state = await page.until(lambda state: not state["objects"])
    assert [event["kind"] for event in state["events"]][-3:] == ["publish", "pin", "delete"]
    await asyncio.to_thread(store.shutdown, force=True)
    await page.until(lambda state: state["fault"])


async def test_what_one_page_does_every_page_sees(watching, jp_fetch, store):
    store.put(np.zeros(10), EVIL)
    pages = [await watching(), await watching()]
    states = [await page.until(lambda state: state["objects"]) for page in pages]
    path = ["jupyter-shm", "objects", states[0]["incarnation"], states[0]["objects"][0]["id"]]

    await jp_fetch(*path, method="PATCH", body='{"pinned": true}')
    for page in pages:
        await page.until(lambda state: state["objects"][0]["pinned"])
    await jp_fetch(*path, method="PATCH", body='{"pinned": false}')
    for page in pages:
        await page.until(lambda state: not state["objects"][0]["pinned"])
    await jp_fetch(*path, method="DELETE")
    for page in pages:
        state = await page.until(lambda state: not state["objects"])
        assert ("delete", EVIL) in [(event["kind"], event["name"]) for event in state["events"]]


async def refusal(fetched) -> tuple[int, str]:
    with pytest.raises(HTTPClientError) as refused:
        await fetched
    return refused.value.code, json.loads(refused.value.response.body)["message"]


async def test_only_what_the_page_has_seen_is_deleted(jp_fetch, store):
    seen = store.put(1, EVIL)
    store.put(2, EVIL)
    incarnation = str(seen.store)

    gone = await refusal(jp_fetch("jupyter-shm", "objects", incarnation, str(seen.id), method="DELETE"))
    other = await refusal(jp_fetch("jupyter-shm", "objects", "7", str(seen.id), method="DELETE"))

    assert gone[0] == other[0] == 404
    assert "has ended" in other[1]
    assert store.get(EVIL) == 2


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"pinned": 1}', '{"pinned": true, "name": "x"}', "\x00"])
async def test_a_body_that_makes_no_sense_is_refused(jp_fetch, body):
    code, message = await refusal(jp_fetch("jupyter-shm", "objects", "1", "2", method="PATCH", body=body))

    assert code == 400
    assert '{"pinned": true}' in message


async def test_what_makes_no_sense_ends_only_its_page(watching, store):
    mad, other, long = await watching(), await watching(), await watching()

    await mad.socket.write_message("no json")
    await long.socket.write_message(json.dumps({"kind": "x" * 10_000}))
    await mad.over()
    await long.over()
    await other.socket.write_message(json.dumps({"kind": "of a later release"}))
    store.put(1, "x")

    assert await other.until(lambda state: other.names(state) == {"x"})


async def test_a_page_that_lost_track_gets_the_whole_state(watching, store):
    store.put(1, "x")
    page = await watching()
    await page.until(lambda state: state["objects"])
    page.state = {}

    await page.socket.write_message(json.dumps({"kind": "resend"}))

    assert page.names(await page.until(lambda state: state["objects"])) == {"x"}


async def test_reads_are_seen_when_a_page_asks(watching, store):
    store.put(np.arange(100_000), "x")
    page = await watching()
    await page.until(lambda state: state["objects"])

    view = store.get("x")
    await page.socket.write_message(json.dumps({"kind": "refresh"}))

    state = await page.until(lambda state: state["objects"][0]["holders"])
    assert state["objects"][0]["reads"] == 1
    del view


async def test_nothing_runs_unless_somebody_looks(watching, store, jp_serverapp):
    def ours() -> set[str]:
        return {thread.name for thread in threading.enumerate() if "jupyter_shm" in thread.name}

    app = extension(jp_serverapp)
    assert ours() == set()

    page = await watching()
    state = await page.until(lambda state: not state["fault"])
    assert len(app.audience) == 1
    assert state["usage"]["clients"] == 1, "the page itself is none of those who use the store"
    await page.leave()

    assert await asyncio.to_thread(eventually, lambda: not len(app.audience))
    assert await asyncio.to_thread(eventually, lambda: len(ours()) == 1), "the executor's thread, which waits"


async def test_the_store_may_be_stopped_while_a_page_is_open(watching, store):
    page = await watching()
    await page.until(lambda state: not state["fault"])

    await asyncio.to_thread(store.shutdown)

    await page.until(lambda state: state["fault"])


async def test_the_server_answers_while_the_store_does_not(watching, jp_fetch, store):
    page = await watching()
    await page.until(lambda state: not state["fault"])

    pid = store.stats().pid
    os.kill(pid, signal.SIGSTOP)
    try:
        stuck = asyncio.ensure_future(jp_fetch("jupyter-shm", "state"))
        for _ in range(20):
            assert (await jp_fetch("api", "status")).code == 200
        assert not stuck.done()
    finally:
        os.kill(pid, signal.SIGCONT)

    assert json.loads((await stuck).body)["fault"] == ""
