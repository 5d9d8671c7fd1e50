"""What is reached under /jupyter-shm/: every verb authenticated, authorised as ``jupyter_shm``, and quick.

| route | verb | action | what |
|---|---|---|---|
| ``state`` | GET | read | the whole state, as ``panel/feed.py`` words it |
| ``watch`` | websocket | read | the state, and then every change of it |
| ``objects/<incarnation>/<id>`` | PATCH ``{"pinned": true}`` | write | pin or unpin |
| ``objects/<incarnation>/<id>`` | DELETE | write | take the name away |
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec
from jupyter_server.auth.decorator import authorized, ws_authenticated
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from jupyter_server.extension.handler import ExtensionHandlerMixin
from tornado import web
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from ..errors import InvalidArgumentError, ObjectNotFoundError, ShmError
from ..panel.feed import encode
from ..panel.follower import Look
from . import actions
from .audience import PageGoneError

if TYPE_CHECKING:
    from .application import ShmExtensionApp

RESOURCE = "jupyter_shm"
"""What an ``Authorizer`` is asked about."""

LONGEST = 1024
"""Bytes that a page may send in one message; all that it has to say are a few words."""

Result = TypeVar("Result")


class RefusedError(web.HTTPError):
    """An answer that is an error, in a sentence for people.

    Args:
        status: Of HTTP.
        text: The sentence, sent as it is: ``HTTPError`` would take a ``%`` in a name for its own.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status)
        self.text = text


class Change(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a PATCH."""

    pinned: bool


class Wish(msgspec.Struct):
    """What a page says over its websocket: ``resend`` the whole state, or ``refresh``: look again."""

    kind: str


class ShmHandler(ExtensionHandlerMixin, APIHandler):
    """What the verbs have in common."""

    auth_resource = RESOURCE

    @property
    def shm(self) -> ShmExtensionApp:
        """The extension."""
        return cast("ShmExtensionApp", self.extensionapp)

    async def in_thread(self, call: Callable[..., Result], *arguments: object) -> Result:
        """Make a call that may wait, and let its errors be answers: the sentence, and a status that fits."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self.shm.executor, call, *arguments)
        except (FileNotFoundError, ObjectNotFoundError) as error:
            raise RefusedError(404, str(error)) from error
        except InvalidArgumentError as error:
            raise RefusedError(400, str(error)) from error
        except (ShmError, OSError) as error:
            raise RefusedError(503, str(error)) from error

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with the sentence, if it is one of ours."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, RefusedError):
            self.finish(msgspec.json.encode({"message": error.text}))
        else:
            super().write_error(status_code, **kwargs)


class StateHandler(ShmHandler):
    """The whole state, once."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Look once, now."""
        self.finish(await self.in_thread(_state, self.shm.store))


class ObjectHandler(ShmHandler):
    """One object, as a page has seen it."""

    @web.authenticated
    @authorized
    async def patch(self, incarnation: str, id: str) -> None:
        """Pin or unpin it."""
        try:
            change = msgspec.json.decode(self.request.body, type=Change)
        except msgspec.DecodeError as error:
            raise RefusedError(400, 'the body must be {"pinned": true} or {"pinned": false}') from error
        await self.in_thread(actions.set_pin, self.shm.store, int(incarnation), int(id), change.pinned)
        self.set_status(204)
        self.finish()

    @web.authenticated
    @authorized
    async def delete(self, incarnation: str, id: str) -> None:
        """Take its name away."""
        await self.in_thread(actions.delete, self.shm.store, int(incarnation), int(id))
        self.set_status(204)
        self.finish()


class WatchHandler(ExtensionHandlerMixin, WebSocketMixin, WebSocketHandler, JupyterHandler):
    """A page that looks: it is sent the state, then every change, and may ask for either again."""

    auth_resource = RESOURCE

    @property
    def shm(self) -> ShmExtensionApp:
        """The extension."""
        return cast("ShmExtensionApp", self.extensionapp)

    @property
    def max_message_size(self) -> int:
        """Of what a page sends, in bytes."""
        return LONGEST

    @ws_authenticated
    async def get(self, *arguments: Any, **named: Any) -> None:
        """Let the page in, if its user may read."""
        # @authorized would ask for "execute", which is what a websocket to a kernel needs.
        asked = self.authorizer.is_authorized(self, self.current_user, "read", self.auth_resource)
        if not (await asked if inspect.isawaitable(asked) else asked):
            raise web.HTTPError(403, f"User is not authorized to read on resource: {self.auth_resource}.")
        await super().get(*arguments, **named)

    def get_compression_options(self) -> dict[str, Any]:
        """Compress: states are long and alike."""
        return {}

    def open(self, *arguments: Any, **named: Any) -> None:
        """Tell where the server's files are, by which notebooks are found; then join those who look."""
        super().open(*arguments, **named)
        root = Path(getattr(self.contents_manager, "root_dir", "/")).expanduser()
        self.write_message(msgspec.json.encode({"kind": "server", "root": str(root)}).decode())
        self.shm.audience.join(self)

    def on_message(self, message: str | bytes) -> None:
        """Do what the page wishes; what cannot be understood ends it."""
        try:
            wish = msgspec.json.decode(message, type=Wish)
        except msgspec.DecodeError:
            self.close(1003, "not understood")
            return
        if wish.kind == "resend":
            self.shm.audience.resend(self)
        elif wish.kind == "refresh":
            self.shm.audience.refresh()

    def on_close(self) -> None:
        """Leave."""
        self.shm.audience.leave(self)
        super().on_close()

    async def send(self, text: str) -> None:
        """As ``Page.send``."""
        try:
            await self.write_message(text)
        except WebSocketClosedError as error:
            raise PageGoneError from error


def _state(store: str) -> str:
    return encode(Look(store)(0))


ROUTES = (
    (r"/jupyter-shm/state", StateHandler),
    (r"/jupyter-shm/watch", WatchHandler),
    (r"/jupyter-shm/objects/([0-9]{1,20})/([0-9]{1,20})", ObjectHandler),
)
