"""The row of a client: which of its requests was carried out, granted or refused last.  No I/O here."""

from __future__ import annotations

from ..protocol import messages as m
from ..tables.layout import RESERVED, Record
from .actions import Action, Send, SetRow, SetState, WriteRecord
from .clients import Client
from .ledger import Ledger, Reservation


def applied(client: Client, number: int) -> Action:
    """A request that changes something was carried out, or refused: its number is in the row before its answer."""
    client.applied = number
    return SetRow(client.row, client.id, number)


def refused(client: Client, number: int, reason: str, text: str, figures: m.Figures | None = None) -> list[Action]:
    """A request that changes something is not carried out."""
    return [applied(client, number), Send(client.conn, m.Refused(number, reason, text, figures))]


def granted(client: Client, number: int, entry: Reservation, ledger: Ledger) -> list[Action]:
    """An extent was reserved, and is the client's to fill."""
    facts = (entry.generation, ledger.sequence, client.id, 0, number, entry.offset, entry.extent)
    return [
        WriteRecord(entry.slot, Record(*facts, 0, 0, 0, 0, 0, b"")),
        SetState(entry.slot, entry.generation, RESERVED),
        applied(client, number),
        Send(client.conn, m.Reserved(number, entry.id, entry.offset, ledger.warm.huge(entry.offset, entry.extent))),
    ]
