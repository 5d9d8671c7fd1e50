"""What the store holds and who is there, asked for a page at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..protocol import messages as m
from . import reading
from .session import Session

if TYPE_CHECKING:
    from .info import ObjectInfo


def infos(session: Session, found: Sequence[m.ObjectFacts]) -> list[ObjectInfo]:
    """Complete the store's facts with what the objects say of themselves, and with who holds them."""
    from .info import object_info

    people = _people(session) if any(facts.holders for facts in found) else {}
    return [object_info(facts, reading.peek_meta(session.leases, facts), people) for facts in found]


def pages(session: Session, anonymous: bool) -> Iterator[m.Page]:
    """Yield the whole list.

    Args:
        session: Whose store.
        anonymous: Objects without a name too, and those that live on only because somebody reads them.
    """
    after = 0
    while True:
        page: m.Page = session.connection.request(m.List, after, anonymous)
        yield page
        after = page.last
        if not after:
            return


def _people(session: Session) -> dict[int, m.Person]:
    people: dict[int, m.Person] = {}
    after = 0
    while True:
        page: m.People = session.connection.request(m.Clients, after)
        people.update((person.id, person) for person in page.clients)
        after = page.last
        if not after:
            return people
