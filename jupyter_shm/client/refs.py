"""ObjectRef: what ``put`` returns."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .promises import Promise


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
        promise: What it stands for in the process that has promised it; ``None`` everywhere else.  As long as it is
            not kept, and while its value stays in that process, ``id`` and ``store`` are 0.
    """

    __slots__ = (
        "__weakref__",
        "id",
        "lease",
        "name",
        "promise",
        "replaced_owner",
        "replaced_version",
        "store",
        "version",
    )

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
        self.promise: Promise | None = None

    def __repr__(self) -> str:
        if self.promise is not None:
            return f"ObjectRef({self.promise.what or 'a task'}: {self.promise.state})"
        if self.name:
            return f"ObjectRef({self.name!r}, version {self.version})"
        return "ObjectRef(anonymous: freed with its last reference; put(obj, name=...) publishes)"

    def __reduce__(self) -> tuple[Any, ...]:
        from .travel import send

        self.settle()
        return send(self)

    def settle(self) -> None:
        """Mean an object of the store, before this leaves the process."""
        if self.promise is not None:
            from .leaving import settle

            settle(self)

    def mean(self, other: ObjectRef) -> None:
        """Show the object that another reference means."""
        if self.store != other.store or self.id != other.id:
            self.store, self.id, self.name, self.version = other.store, other.id, other.name, other.version

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
        if self.promise is not None or other.promise is not None:
            return self.promise is other.promise
        return (self.store, self.id) == (other.store, other.id)

    def __hash__(self) -> int:
        return hash(self.promise if self.promise is not None else (self.store, self.id))
