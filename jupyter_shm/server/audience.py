"""All pages that look at the store: one follower for all of them, from when the first one comes until the last one goes.

Everything here runs on the server's loop, but for the two methods that say so.  No sockets here: a page is whoever can be
sent text.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import NamedTuple, Protocol

from ..errors import ShmError
from ..panel.feed import Diff, State, change, encode, fault_state
from ..panel.follower import Follower


class PageGoneError(Exception):
    """Nobody is at the other end any more."""


class Page(Protocol):
    """Somebody who looks."""

    async def send(self, text: str) -> None:
        """Send a text, and return when the page can take another one; raises ``PageGoneError``."""


class _News(NamedTuple):
    """A state, and how it comes from the one before.

    Attributes:
        state: What the store is like.
        base: Revision of the state that the text is about; -1 where it is about none.
        text: For pages that have that.
    """

    state: State
    base: int
    text: str


class Audience:
    """The pages, and what they have been told.

    A page that is slow gets whole states in place of the changes that it has missed: nothing is kept for it.

    Args:
        new_follower: Makes a follower that calls what it is given with each state.
        executor: Its one thread does what may wait.
    """

    def __init__(self, new_follower: Callable[[Callable[[State], None]], Follower], executor: Executor) -> None:
        self._new_follower = new_follower
        self._executor = executor
        self._revisions: dict[Page, int | None] = {}  # what each page has; None: nothing that changes can be told of
        self._sending: dict[Page, asyncio.Task[None]] = {}
        self._follower: Follower | None = None
        self._news: _News | None = None

    def __len__(self) -> int:
        return len(self._revisions)

    def join(self, page: Page) -> None:
        """A page begins to look; it gets a state at once, or as soon as there is one."""
        self._revisions[page] = None
        if self._follower is None:
            self._begin()
        self._serve(page)

    def leave(self, page: Page) -> None:
        """A page looks no longer.  After the last one nothing runs and nothing is connected."""
        self._revisions.pop(page, None)
        if not self._revisions:
            self.close()

    def close(self) -> None:
        """Tell nobody anything any more."""
        self._revisions.clear()
        if self._follower is not None:
            # In the thread: it waits for a look that has begun.
            self._executor.submit(self._follower.close)
            self._follower, self._news = None, None

    def resend(self, page: Page) -> None:
        """A page cannot use what it has: it gets the whole state."""
        if page in self._revisions:
            self._revisions[page] = None
            self._serve(page)

    def refresh(self) -> None:
        """Look now, though nothing was told: reads and holders change without that."""
        if self._follower is not None:
            self._follower.refresh()

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        last: State | None = None

        def told(state: State) -> None:  # in the follower's thread
            nonlocal last
            news = _news(last, state)
            if news is not None:
                last = state
                with contextlib.suppress(RuntimeError):  # the server has ended meanwhile
                    loop.call_soon_threadsafe(self._take, follower, news)

        follower = self._follower = self._new_follower(told)

        def start() -> None:
            try:
                follower.start()
            except (ShmError, OSError) as error:  # there is no folder in which a store could be
                told(fault_state(follower.name, 0, time.time(), str(error)))

        self._executor.submit(start)

    def _take(self, follower: Follower, news: _News) -> None:
        if follower is self._follower:
            self._news = news
            for page in tuple(self._revisions):
                self._serve(page)

    def _serve(self, page: Page) -> None:
        if page not in self._sending and self._news is not None:
            task = self._sending[page] = asyncio.ensure_future(self._send(page))
            task.add_done_callback(lambda _: self._sending.pop(page, None))

    async def _send(self, page: Page) -> None:
        """Send whatever is the news, until the page has them."""
        with contextlib.suppress(PageGoneError):
            while page in self._revisions and self._news is not None:
                news, known = self._news, self._revisions[page]
                if known == news.state.revision:
                    return
                text = news.text if known == news.base else await self._encoded(news.state)
                self._revisions[page] = news.state.revision
                await page.send(text)

    async def _encoded(self, state: State) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._executor, encode, state)


def _news(old: State | None, new: State) -> _News | None:
    """What is to be told of a state; ``None``: nothing has changed.  In the follower's thread: there may be much of it."""
    message = new if old is None else change(old, new)
    if message is None:
        return None
    return _News(new, message.base if isinstance(message, Diff) else -1, encode(message))
