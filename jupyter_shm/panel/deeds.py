"""What a page asks a kernel to do: pin, unpin, delete, release and preview one version of an object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ..client.refs import ObjectRef
from ..client.store import Store
from ..errors import InvalidArgumentError
from ..sizes import format_size
from .preview import preview_of

LONG = 64 << 20
"""Bytes of a pickle stream from which on nobody's curiosity unpickles it: that takes a second or more."""

UNMADE = ("pending", "lost")
"""States of what is still to be made, or never will be."""

Release = Callable[[str, str], list[str]]
"""Let go of all views of a name of a store in this process; what was cleared, as lines."""


class Target(msgspec.Struct, frozen=True):
    """One version of an object: whatever is published under its name meanwhile is not meant.

    Attributes:
        incarnation: Of the store, as ``State`` has it.
    """

    id: str
    name: str
    version: int
    incarnation: str


class Deeds:
    """Carries out what a page asks for, with a connection of its own.

    Args:
        store: Name of the store; it is not started.
        release: How this process lets go of what it holds; ``None`` where it cannot.
    """

    def __init__(self, store: str, release: Release | None) -> None:
        self._name = store
        self._release = release
        self._store: Store | None = None
        self._verbs: dict[str, Callable[[Store, ObjectRef], dict[str, Any]]] = {
            "pin": _pin,
            "unpin": _unpin,
            "delete": _delete,
            "release": self._let_go,
            "preview": _preview,
        }

    def do(self, verb: str, target: object) -> dict[str, Any]:
        """Do it.

        Args:
            verb: One of the verbs.
            target: A ``Target``, as JSON gives it.

        Returns:
            What to tell the page besides that it is done.

        Raises:
            ShmError: It cannot be done; the text says why.
        """
        if verb not in self._verbs:
            raise InvalidArgumentError(f"a page asked for {verb!r}, and there are {', '.join(self._verbs)}")
        store = self._connected()
        return self._verbs[verb](store, _ref(target))

    def close(self) -> None:
        """End the connection."""
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def _connected(self) -> Store:
        if self._store is None:
            self._store = Store(self._name, start=False)
        return self._store

    def _let_go(self, store: Store, ref: ObjectRef) -> dict[str, Any]:
        if self._release is None or not ref.name:
            raise InvalidArgumentError(
                "there is nothing here that could be released: it works in IPython, and for names"
            )
        return {"text": "\n".join(self._release(store.name, ref.name))}


def ref_of(target: Target) -> ObjectRef:
    """The version that a page means.

    Raises:
        InvalidArgumentError: Its numbers are none.
    """
    try:
        return ObjectRef(int(target.incarnation), int(target.id), target.name, target.version)
    except ValueError:
        raise InvalidArgumentError(
            f"a page named an object by {target.id!r:.50} and {target.incarnation!r:.50}"
        ) from None


def _ref(target: object) -> ObjectRef:
    try:
        return ref_of(msgspec.convert(target, Target))
    except msgspec.ValidationError as error:
        raise InvalidArgumentError(f"a page named an object in a way that makes no sense: {error}") from None


def _pin(store: Store, ref: ObjectRef) -> dict[str, Any]:
    store.pin(ref)
    return {}


def _unpin(store: Store, ref: ObjectRef) -> dict[str, Any]:
    store.unpin(ref)
    return {}


def _delete(store: Store, ref: ObjectRef) -> dict[str, Any]:
    store.delete(ref)
    return {}


def _preview(store: Store, ref: ObjectRef) -> dict[str, Any]:
    info = store.info(ref)
    if info.state in UNMADE:
        raise InvalidArgumentError(f"there is nothing to look at: {info.explain()}")
    if info.stream > LONG:
        raise InvalidArgumentError(
            f"a look at it would unpickle {format_size(info.stream)}, and more than {format_size(LONG)} would keep this "
            "kernel busy for long. Fetch it in a cell."
        )
    # At once or not at all: it may stand for another object that is still to be made.
    look = preview_of(store.get(ref, timeout=0))
    return {"preview": msgspec.to_builtins(look), "memory": info.explain()}
