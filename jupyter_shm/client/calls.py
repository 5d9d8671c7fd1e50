"""One call of a store: on a session that stays open until it is over, and made again when the store was lost meanwhile."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from ..errors import ObjectNotFoundError, StoreConnectionError, StoreUnresponsiveError
from .refs import ObjectRef
from .session import Session, retire_orphans

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Call:
    """One call: ``close()`` in another thread takes effect after it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __enter__(self) -> Session:
        self._session.connection.begin(id(self))
        return self._session

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._session.connection.end(id(self))
        if isinstance(error, StoreConnectionError):
            error.store = self._session.welcome.store

    def __del__(self) -> None:
        # An interrupt may have fallen between the beginning and the block, or into the making of this.
        session = getattr(self, "_session", None)
        if session is not None:
            session.connection.end(id(self))


class Caller:
    """What a store's methods have in common, whatever file they stand in.

    Attributes:
        name: Name of the store.
        is_closed: No call can be made any more.
    """

    name: str
    is_closed: bool

    def _use(self) -> Session:
        """The session to call; a new one if the store or the connection ended."""
        raise NotImplementedError

    def _call(self) -> Call:
        """The session, kept open until the call is over."""
        retire_orphans()
        session = self._use()
        session.leases.drain()  # of an interrupt that fell into a finalizer, nobody else knows
        session.connection.check()
        return Call(self._use())


AnyCaller = TypeVar("AnyCaller", bound=Caller)


def once_more_if_lost(
    method: Callable[Concatenate[AnyCaller, Arguments], Result],
) -> Callable[Concatenate[AnyCaller, Arguments], Result]:
    """Make a call again whose store has died with its keeper in the middle of it.

    Nothing is left of what that store held, nor of what the call did to it; so the call is made to the store that comes
    next, as if it had begun a moment later.  Where the same store ended the connection, nobody knows what was done.
    """

    @functools.wraps(method)
    def call(self: AnyCaller, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return method(self, *args, **kwargs)
        except StoreUnresponsiveError:
            raise
        except StoreConnectionError as error:
            if self.is_closed or error.store in (None, self._use().welcome.store):
                raise
        return method(self, *args, **kwargs)

    return call


def this_version(session: Session, ref: ObjectRef) -> tuple[str, int]:
    """Name and id of what a reference means, if it is of this store."""
    ref.settle()
    if ref.store != session.welcome.store:
        raise ObjectNotFoundError(f"the object that {ref!r} means is gone: its store ended")
    return ref.name, ref.id
