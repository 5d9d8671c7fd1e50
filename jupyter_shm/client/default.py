"""The default store of this process, and the module-level functions that use it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ClosedError
from ..linux.runtime import store_name
from .arguments import UNSET
from .refs import ObjectRef
from .session import Session, opening
from .store import Keys, Store
from .terms import STORE, Duration

if TYPE_CHECKING:
    from .info import ObjectInfo, ObjectList, StoreStats

_stores: dict[str, Store] = {}  # at most one, under "default"
_joined: dict[str, Store] = {}  # others, of which this process was handed references; by name


def connect(name: str | None = None, *, capacity: int | str | None = None) -> Store:
    """Connect to this user's store on this machine, and start it if it does not run.

    Args and errors as ``Store``.

    Returns:
        A connection of your own; ``close()`` it, or let it go.
    """
    return Store(name, capacity=capacity)


def default_store() -> Store:
    """The connection behind ``shm.put`` and its siblings, and behind the magics; made at the first use."""
    with opening:
        store = _stores.get("default")
        if store is None or store.is_closed:
            store = _stores["default"] = Store()
        return store


def join(name: str) -> None:
    """Be connected to a store that runs, for as long as this process lives.

    Args:
        name: Of the store.

    Raises:
        FileNotFoundError: It does not run.
    """
    with opening:
        if name == store_name():
            if "default" not in _stores or _stores["default"].is_closed:
                _stores["default"] = Store(start=False)
                _stores["default"].may_start()
        elif name not in _joined:
            _joined[name] = Store(name, start=False)


def store_of(session: Session) -> Store:
    """Whose session this is.

    Raises:
        ClosedError: It was closed meanwhile.
    """
    owner = session.owner()
    if not isinstance(owner, Store):
        raise ClosedError(f"the connection to the store {session.name!r} was closed")
    return owner


def put(
    obj: object,
    name: str | None = None,
    *,
    overwrite: bool = True,
    ttl: Duration | None = None,
    lifetime: str = STORE,
    pin: bool = False,
    progress: bool = False,
) -> ObjectRef:
    """``Store.put`` on the default store."""
    return default_store().put(obj, name, overwrite=overwrite, ttl=ttl, lifetime=lifetime, pin=pin, progress=progress)


def get(key: Any, *, mode: str = "r", copy: bool = False, timeout: float | None = UNSET, default: Any = UNSET) -> Any:
    """``Store.get`` on the default store."""
    store = _stores.get("default")  # without the lock, as every call after the first one can
    if store is None or store.is_closed:
        store = default_store()
    return store.get(key, mode=mode, copy=copy, timeout=timeout, default=default)


def delete(key: Any) -> None:
    """``Store.delete`` on the default store."""
    default_store().delete(key)


def pin(key: Any) -> None:
    """``Store.pin`` on the default store."""
    default_store().pin(key)


def unpin(key: Any) -> None:
    """``Store.unpin`` on the default store."""
    default_store().unpin(key)


def expire(key: Any, ttl: Duration | None) -> None:
    """``Store.expire`` on the default store."""
    default_store().expire(key, ttl)


def wait(
    keys: Sequence[Any], *, num_returns: int = 1, newer_than: int | None = None, timeout: float | None = None
) -> tuple[Keys, Keys]:
    """``Store.wait`` on the default store."""
    return default_store().wait(keys, num_returns=num_returns, newer_than=newer_than, timeout=timeout)


def info(key: Any) -> ObjectInfo:
    """``Store.info`` on the default store."""
    return default_store().info(key)


def list(pattern: str | None = None, *, anonymous: bool = False) -> ObjectList:
    """``Store.list`` on the default store."""
    return default_store().list(pattern, anonymous=anonymous)


def stats() -> StoreStats:
    """``Store.stats`` of the default store."""
    return default_store().stats()
