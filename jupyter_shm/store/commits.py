"""From a filled extent to an object: what is checked, and in which order it becomes LIVE.  No I/O here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ..errors import InvalidKeyError, InvalidNameError
from ..protocol import messages as m
from ..protocol.names import encode_name
from ..tables.alignment import rounded
from ..tables.layout import FREE, KERNEL_LIFETIME, LIVE, PINNED
from ..tables.terms import Terms
from . import report
from .actions import Action, Publish, Send, SetName, SetState, WriteRecord
from .agreements import agree
from .clients import Client
from .entries import Nursery, Object, Reservation
from .history import OVERWRITE, PUBLISH, History
from .holders import Holders
from .ledger import Ledger
from .lifetimes import Lifetimes, expiry
from .nurseries import Nurseries, record_of
from .rows import applied, refused

Filled: TypeAlias = m.Commit | m.Fulfil
"""What says that an extent is filled."""


class Commits:
    """Carries commits out.

    Args:
        ledger: The books.
        holders: The clients' lease tables.
        nurseries: Knows what may be cut out of them.
        lifetimes: Ends names by themselves.
        history: Is told.
        condemn: What the end of an object takes; the second argument: its name means another one already.
    """

    def __init__(
        self,
        ledger: Ledger,
        holders: Holders,
        nurseries: Nurseries,
        lifetimes: Lifetimes,
        history: History,
        condemn: Callable[[Object, bool], list[Action]],
    ) -> None:
        self._ledger = ledger
        self._holders = holders
        self._nurseries = nurseries
        self._lifetimes = lifetimes
        self._history = history
        self._condemn = condemn

    def commit(self, client: Client, request: m.Commit, contained: tuple[int, ...], now: float) -> list[Action]:
        """Make an object LIVE, or say why not.

        Args:
            client: Who asks.
            request: What it says.
            contained: Ids that the object's prefix in the heap lists.
            now: Seconds.
        """
        entry = client.reservations.get(request.reservation)
        if entry is None or not self.may_seal(entry, request):
            text = f"client {client.id} has no reservation {request.reservation} of {request.nbytes} bytes or more"
            return refused(client, request.number, "bad-reservation", text)
        try:
            name = encode_name(request.name) if request.name else b""
        except (InvalidNameError, InvalidKeyError) as error:
            return refused(client, request.number, error.reason, str(error))
        if (request.flags or request.ttl_ns) and (not name or request.flags & ~(PINNED | KERNEL_LIFETIME)):
            text = f"an object {request.name!r} cannot have the flags {request.flags} and {request.ttl_ns} ns to live"
            return refused(client, request.number, "invalid-argument", text)
        old = self._ledger.names.get(request.name) if name else None
        if old is not None and not request.overwrite:
            return refused(client, request.number, "exists", report.exists(old, self._ledger))
        contained = tuple(dict.fromkeys(contained))
        for id in contained:
            if not self.may_contain(client, id):
                text = f"object {id}, whose bytes the new one refers to, is gone; put a copy of the data"
                return refused(client, request.number, "contained-gone", text)
        return self._seal(client, request, entry, name, old, contained, now)

    def _seal(
        self,
        client: Client,
        request: m.Commit,
        entry: Reservation,
        name: bytes,
        old: Object | None,
        contained: tuple[int, ...],
        now: float,
    ) -> list[Action]:
        facts = {
            "name": request.name,
            "request": request.number,
            "label": client.hello.label,
            "nbytes": request.nbytes,
            "payload": request.payload,
            "created_ns": request.created_ns,
            "version": old.version + 1 if old else 1,
            "contained": contained,
        }
        # In this order: a store that dies in between leaves two slots with one extent, or two names with one meaning,
        # and the next one knows which of them counts (``restore``).
        actions: list[Action]
        if isinstance(entry, Nursery):
            size = rounded(request.nbytes)
            self._ledger.cut(entry, request.offset, size)
            object = self._ledger.seal_piece(entry, request.id, (request.offset, size), **facts)
            actions = [Publish(object.slot, record_of(object, name))]
        else:
            del client.reservations[entry.id]
            object = self._ledger.seal(entry, **facts)
            actions = [
                WriteRecord(object.slot, record_of(object, name)),
                SetState(object.slot, object.generation, LIVE),
                SetState(entry.slot, entry.generation, FREE),
            ]
        if request.flags or request.ttl_ns:
            # Before the object becomes LIVE; behind its facts, where there are any, for they say that the slot is used.
            at = 0 if isinstance(actions[0], Publish) else 1
            actions[at:at] = agree(object, Terms(request.flags, expiry(request.ttl_ns, now)))
            self._lifetimes.begin(object)
        if name:
            actions.append(SetName(name, object.slot, old.slot if old else None))
            if old is not None:
                actions += self._condemn(old, True)
            self._ledger.names[object.name] = object
        else:
            client.anonymous[object.id] = object
        self._history.note(OVERWRITE if old else PUBLISH, object, client.hello.label)
        replaced = (old.version, self._ledger.label(old)) if old else (0, "")
        answer = m.Committed(request.number, object.id, object.version, *replaced)
        return [*actions, applied(client, request.number), Send(client.conn, answer)]

    def may_seal(self, entry: Reservation | None, request: Filled) -> bool:
        """May what its client has reserved become this object?"""
        if entry is None:
            return False
        if isinstance(entry, Nursery):
            return self._nurseries.can_cut(entry, request.id, request.offset, request.nbytes)
        return request.id == 0 and 0 < request.nbytes <= entry.extent

    def may_contain(self, client: Client, id: int) -> bool:
        """May what this client puts refer to this object?"""
        object = self._ledger.objects.get(id)
        if object is None or object.is_spilled:
            return False  # a spilled one's bytes are copied when they are put again
        is_leased = self._holders.holds(client.id, object.slot, object.generation)
        return object.state == LIVE or is_leased or object.containers > 0
