"""The reducers of what may travel by reference, and tables of a library's pickler that they are put into."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, MutableMapping
from functools import partial
from typing import Any

import numpy as np

from .by_reference import Reduced, refer_to_array, refer_to_buffer

Reducer = Callable[[Any], Any]
"""Takes an object apart, as ``object.__reduce__`` does."""


def reducers(protocol: int) -> dict[type, Reducer]:
    """By type, what takes an object apart; pyarrow's buffers only where pyarrow was loaded.

    Args:
        protocol: Of the pickles, for objects that travel as bytes.
    """
    found: dict[type, Reducer] = dict.fromkeys((np.ndarray, np.recarray), partial(_reduce, refer_to_array, protocol))
    if "pyarrow" in sys.modules:
        found[sys.modules["pyarrow"].Buffer] = partial(_reduce, refer_to_buffer, protocol)
    return found


class Table:
    """Entries of ours in tables of others, to be taken out again."""

    def __init__(self) -> None:
        self._before: list[tuple[MutableMapping[Any, Any], Any, Any, Any]] = []

    def extend(self, table: MutableMapping[Any, Any], entries: Mapping[Any, Any]) -> None:
        """Put entries in; those that are in already stay.

        Args:
            table: Of a library, by type.
            entries: What to put in.
        """
        for key, value in entries.items():
            if not any(mine is table and known == key for mine, known, *_ in self._before):
                self._before.append((table, key, value, table.get(key)))
                table[key] = value

    def restore(self) -> None:
        """Take them out, and put back what was there before; what somebody else has put there since stays."""
        for table, key, value, before in self._before:
            if table.get(key) is value:
                if before is None:
                    del table[key]
                else:
                    table[key] = before
        self._before.clear()


def _reduce(refer: Callable[[Any], Reduced | None], protocol: int, obj: Any) -> Any:
    return refer(obj) or obj.__reduce_ex__(protocol)
