"""Every route and every verb of the server extension is closed to whoever may not use it."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest
from authorizers import ReadOnly, Shut
from tornado.httpclient import HTTPClientError

from jupyter_shm.server.routes import ROUTES

VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
EXAMPLES = ("jupyter-shm/state", "jupyter-shm/watch", "jupyter-shm/objects/1/2")
SERVED = {
    ("GET", "jupyter-shm/state"),
    ("GET", "jupyter-shm/watch"),
    ("PATCH", "jupyter-shm/objects/1/2"),
    ("DELETE", "jupyter-shm/objects/1/2"),
}
DOORS = [(verb, path) for path in EXAMPLES for verb in VERBS]


@pytest.fixture
def status(jp_fetch):
    """Status of an answer, whatever it is."""

    async def ask(verb: str, path: str, **options) -> int:
        body = '{"pinned": true}' if verb in ("POST", "PUT", "PATCH") else None
        try:
            answer = await jp_fetch(*path.split("/"), method=verb, body=body, follow_redirects=False, **options)
        except HTTPClientError as error:
            return error.code
        return answer.code

    return ask


async def hang_up(page) -> None:
    page.close()
    while await page.read_message() is not None:
        pass


def test_every_route_is_walked():
    assert {example for example in EXAMPLES for route, _ in ROUTES if re.fullmatch(route, f"/{example}")} == {*EXAMPLES}
    assert len(ROUTES) == len(EXAMPLES)


async def test_without_a_token_nothing_is_served(status):
    found = {door: await status(*door, headers={"Authorization": "token wrong"}) for door in DOORS}

    assert {door for door in SERVED if found[door] != 403} == set()
    assert {door: code for door, code in found.items() if code < 400 and code != 302} == {}


async def test_with_a_token_exactly_the_served_verbs_answer(status):
    found = {door: await status(*door) for door in DOORS}

    # A websocket's route wants an upgrade.  There is no store, so there is no object.
    assert [found[door] for door in sorted(SERVED)] == [404, 200, 400, 404]
    assert {code for door, code in found.items() if door not in SERVED} <= {405, 404}


@pytest.mark.parametrize("jp_server_config", [Shut], indirect=True)
async def test_who_may_not_read_sees_nothing_and_changes_nothing(status):
    assert {door: await status(*door) for door in SERVED} == dict.fromkeys(SERVED, 403)


@pytest.mark.parametrize("jp_server_config", [Shut], indirect=True)
async def test_who_may_not_read_may_not_watch(jp_ws_fetch):
    with pytest.raises(HTTPClientError) as refused:
        await jp_ws_fetch("jupyter-shm", "watch")

    assert refused.value.code == 403


@pytest.mark.parametrize("jp_server_config", [ReadOnly], indirect=True)
async def test_who_may_only_read_watches_and_changes_nothing(status, jp_ws_fetch):
    page = await jp_ws_fetch("jupyter-shm", "watch")
    assert await page.read_message()
    await hang_up(page)

    assert await status("GET", "jupyter-shm/state") == 200
    assert await status("PATCH", "jupyter-shm/objects/1/2") == 403
    assert await status("DELETE", "jupyter-shm/objects/1/2") == 403


async def test_a_websocket_without_a_token_is_refused(jp_ws_fetch):
    with pytest.raises(HTTPClientError) as refused:
        await jp_ws_fetch("jupyter-shm", "watch", headers={"Authorization": "token wrong"})

    assert refused.value.code == 403


@pytest.fixture
def logged_in(jp_serverapp, http_server_client, jp_base_url):
    """Cookies of a browser that has logged in, and the proof that a request comes from one of our pages."""

    def cookies_of(answer) -> dict[str, str]:
        return dict(line.partition(";")[0].split("=", 1) for line in answer.headers.get_list("Set-Cookie"))

    async def log_in() -> tuple[str, str]:
        url = f"{jp_base_url}login"
        proof = cookies_of(await http_server_client.fetch(url))["_xsrf"]
        body = urlencode({"password": jp_serverapp.identity_provider.token, "_xsrf": proof})
        options = {"follow_redirects": False, "raise_error": False}
        answer = await http_server_client.fetch(
            url, method="POST", body=body, headers={"Cookie": f"_xsrf={proof}"}, **options
        )
        cookie = "; ".join(f"{name}={value}" for name, value in cookies_of(answer).items() if name != "_xsrf")
        # The proof is bound to who is logged in: it is another one now.
        page = await http_server_client.fetch(f"{jp_base_url}api/me", headers={"Cookie": cookie}, raise_error=False)
        found = cookies_of(page).get("_xsrf", proof)
        return f"{cookie}; _xsrf={found}", found

    return log_in


async def test_a_cookie_alone_changes_nothing(status, logged_in):
    cookie, proof = await logged_in()
    named = {"Authorization": "", "Cookie": cookie}

    for verb in ("PATCH", "DELETE"):
        assert await status(verb, "jupyter-shm/objects/1/2", headers={**named}) == 403
        assert await status(verb, "jupyter-shm/objects/1/2", headers={**named, "X-XSRFToken": proof}) == 404


async def test_a_page_of_another_site_may_not_watch(jp_ws_fetch, logged_in, http_server_client):
    cookie, _ = await logged_in()
    ours = http_server_client.get_url("")
    named = {"Authorization": "", "Cookie": cookie, "Host": ours.rpartition("/")[2]}

    with pytest.raises(HTTPClientError) as refused:
        await jp_ws_fetch("jupyter-shm", "watch", headers={**named, "Origin": "http://elsewhere.example"})
    assert refused.value.code == 403
    page = await jp_ws_fetch("jupyter-shm", "watch", headers={**named, "Origin": ours})
    assert await page.read_message()
    await hang_up(page)
