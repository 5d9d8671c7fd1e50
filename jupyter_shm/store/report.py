"""What the store says of itself: facts of objects, pages of the list, and the sentences of refusals.  No I/O here."""

from __future__ import annotations

from collections.abc import Sequence

from ..protocol import messages as m
from ..sizes import format_size
from ..tables.layout import LIVE
from .holders import Holders
from .ledger import Ledger, Object


def facts(object: Object, ledger: Ledger, holders: Holders) -> m.ObjectFacts:
    """What the store knows of one object, now."""
    return m.ObjectFacts(
        id=object.id,
        name=object.name,
        state=_state(object),
        version=object.version or 1,
        payload=object.payload,
        offset=object.offset,
        nbytes=object.extent,
        created_ns=object.created_ns,
        client=object.client,
        label=ledger.label(object),
        holders=tuple(holders.clients(object.slot, object.generation)[: m.MAX_HOLDERS]),
        containers=object.containers,
        reads=object.reads + holders.reads(object.slot, object.generation),
        flags=object.terms.flags,
        expiry=object.terms.expiry,
        spilled=object.terms.spilled if object.is_spilled else 0,
    )


def _state(object: Object) -> str:
    if object.state != LIVE:
        return "held"
    if object.is_pending:
        return "lost" if object.is_lost else "pending"
    return "spilled" if object.is_spilled else "live"


def page(ledger: Ledger, holders: Holders, request: m.List) -> m.Page:
    """One page of the list, by slot; ``after`` and ``last`` are one more than the last slot told."""
    found: list[Object] = []
    for object in ledger.from_slot(request.after):
        # What was deleted and is held by nobody is gone in a few milliseconds: nobody needs to see it.
        if (object.name or request.anonymous) if object.state == LIVE else (object.is_held and request.anonymous):
            if len(found) == m.PAGE_OBJECTS:
                return m.Page(
                    request.number, tuple(facts(object, ledger, holders) for object in found), found[-1].slot + 1
                )
            found.append(object)
    return m.Page(request.number, tuple(facts(object, ledger, holders) for object in found), 0)


def people(clients: Sequence[m.Person], request: m.Clients) -> m.People:
    """One page of who is connected, by id."""
    found = sorted((client for client in clients if client.id > request.after), key=lambda client: client.id)
    shown = tuple(found[: m.PAGE_CLIENTS])
    return m.People(request.number, shown, shown[-1].id if len(found) > len(shown) else 0)


def missing(name: str, id: int) -> str:
    """Nothing is published under a name, or an object is gone."""
    if id:
        return f"the object that this reference meant{f' ({name!r})' if name else ''} is gone: deleted or replaced"
    return f"nothing is published under {name!r}"


def unmade(object: Object) -> str:
    """What is still to be made cannot be taken away."""
    return f"object {object.id} is still to be made: it ends when nobody refers to it any more, and cannot be deleted"


def exists(object: Object, ledger: Ledger) -> str:
    """A name is taken."""
    return (
        f"{object.name!r} is published already (version {object.version}, {format_size(object.payload)}, by "
        f"{ledger.label(object)}). Choose another name, delete it first, or allow overwriting."
    )


def in_use(others: Sequence[m.Hello]) -> str:
    """The store is not to be stopped under others' feet."""
    processes = sorted({f"{hello.label} (pid {hello.pid})" for hello in others})
    shown = ", ".join(processes[:5]) + (f" and {len(processes) - 5} more" if len(processes) > 5 else "")
    return f"other processes are connected: {shown}. Close them, or force it: what they hold stays readable to them."
