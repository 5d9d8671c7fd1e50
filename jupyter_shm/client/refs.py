"""ObjectRef: what ``put`` returns."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any


class ObjectRef:
    """Names one stored object for ever: this very version, whatever is published under its name later.

    A named object lives as long as its name means it; the ref does not keep it.  An anonymous one lives as long as
    anybody, in whatever process, has a ref or a view of it, or a stored object contains a ref.  A pickled ref keeps it for
    as long as the process that pickled it lives, and ten minutes more; each unpickling makes a ref like any other.
    ``await ref`` fetches the object.

    Attributes:
        id: Id of the object in its store.
        store: Id of the store, a random number.
        name: The name that it was published under; ``""`` for an anonymous object.
        version: Counts the puts under the name, from 1.
        replaced_version: The version that this put replaced; 0 when the name was free.
        replaced_owner: Who had published that.
        lease: What keeps an anonymous object, while it is still to be made, too; ``None`` for a named one.
    """

    __slots__ = ("__weakref__", "id", "lease", "name", "replaced_owner", "replaced_version", "store", "version")

    def __init__(
        self,
        store: int,
        id: int,
        name: str,
        version: int,
        replaced: tuple[int, str] = (0, ""),
        lease: object | None = None,
    ) -> None:
        self.store = store
        self.id = id
        self.name = name
        self.version = version
        self.replaced_version, self.replaced_owner = replaced
        self.lease = lease

    def __repr__(self) -> str:
        if self.name:
            return f"ObjectRef({self.name!r}, version {self.version})"
        return "ObjectRef(anonymous: freed with its last reference; put(obj, name=...) publishes)"

    def __reduce__(self) -> tuple[Any, ...]:
        from .travel import send

        return send(self)

    def __copy__(self) -> ObjectRef:
        return self

    def __deepcopy__(self, _memo: object) -> ObjectRef:
        return self

    def __await__(self) -> Generator[Any, None, Any]:
        from .travel import fetch

        return fetch(self).__await__()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ObjectRef):
            return NotImplemented
        return (self.store, self.id) == (other.store, other.id)

    def __hash__(self) -> int:
        return hash((self.store, self.id))
