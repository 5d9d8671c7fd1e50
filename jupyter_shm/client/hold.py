"""What this process holds of a name, through whatever connection it was fetched.  No store is asked.

Whoever is given a hold keeps the bytes by it: it is to be let go of before anybody looks whether they are still held.
"""

from __future__ import annotations

from typing import NamedTuple

from ..linux.runtime import store_name
from .heap import Root
from .refs import ObjectRef
from .session import open_sessions


class Hold(NamedTuple):
    """One version of a name that something in this process looks at.

    Attributes:
        ref: Means this very version.
        nbytes: Bytes of its data.
        roots: The arrays that every view of it ends in; private copy-on-write ones, too.
    """

    ref: ObjectRef
    nbytes: int
    roots: list[Root]


def holds(store: str, name: str) -> list[Hold]:
    """What is held of a name, the newest version first.

    Args:
        store: Name of the store.
        name: Of the object; it need not be published any more.
    """
    key = name.encode(errors="replace")
    found: dict[tuple[int, int], Hold] = {}
    for session in open_sessions(store):
        for id, record, root in session.leases.roots():
            if record.key() == key:
                ref = ObjectRef(session.welcome.store, id, name, record.version)
                # Which store it was, and the number of the commit: a private root does not tell the id.
                hold = found.setdefault((ref.store, record.sequence), Hold(ref, record.payload, []))
                hold.roots.append(root)
    return [found[key] for key in sorted(found, key=lambda key: key[1], reverse=True)]


def held_names(store: str | None) -> set[str]:
    """The names of all that is held; some may not be published any more.

    Args:
        store: Name of the store; ``None`` for the default one.

    Raises:
        SettingError: That cannot be the name of a store.
    """
    records = (record for session in open_sessions(store_name(store)) for _, record, _ in session.leases.roots())
    return {record.key().decode(errors="replace") for record in records} - {""}


def clients(store: str) -> set[int]:
    """The ids that this process has as a client.

    Args:
        store: Name of the store.
    """
    return {session.client for session in open_sessions(store)} - {0}
