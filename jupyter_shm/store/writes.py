"""Actions that are one write to the index, and no more.  It decides nothing."""

from __future__ import annotations

from collections.abc import Callable

from ..tables.index import IndexWriter
from ..tables.layout import PENDING
from ..tables.terms import TermsTable
from . import actions as a


def writes(index: IndexWriter) -> dict[type, Callable[..., None]]:
    """How each of them is carried out, by its class."""
    terms = TermsTable(index.words)
    return {
        a.WriteRecord: lambda do: index.write_record(do.slot, do.record),
        a.SetState: lambda do: index.set_state(do.slot, do.generation, do.state),
        a.SetName: lambda do: index.set_name(do.name, do.slot, do.old),
        a.ClearName: lambda do: index.clear_name(do.name, do.slot),
        a.Promise: lambda do: index.promise(do.slot, do.generation, do.nursery),
        a.Pend: lambda do: index.promise(do.slot, do.generation, do.client, do.number, PENDING),
        a.Publish: lambda do: index.publish(do.slot, do.record),
        a.SetRow: lambda do: index.set_row(do.row, do.client, do.number),
        a.SetTail: lambda do: index.set_tail(do.row, do.tail),
        a.SetLooking: lambda do: index.set_looking(do.row, do.is_looking),
        a.SetDone: lambda do: terms.set_done(do.row, do.number),
        a.SetEnder: lambda do: index.set_ender(do.slot, do.client, do.number),
        a.SetReads: lambda do: index.set_reads(do.slot, do.reads),
        a.SetCapacity: lambda do: index.set_capacity(do.nbytes),
        a.SetTerm: lambda do: terms.set(do.slot, do.term, do.value),
    }
