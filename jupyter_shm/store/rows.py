"""The row of a client: which of its requests was carried out, or refused, last.  No I/O here."""

from __future__ import annotations

from ..protocol import messages as m
from .actions import Action, Send, SetRow
from .clients import Client


def applied(client: Client, number: int) -> Action:
    """A request that changes something was carried out, or refused: its number is in the row before its answer."""
    client.applied = number
    return SetRow(client.row, client.id, number)


def refused(client: Client, number: int, reason: str, text: str, figures: m.Figures | None = None) -> list[Action]:
    """A request that changes something is not carried out."""
    return [applied(client, number), Send(client.conn, m.Refused(number, reason, text, figures))]
