"""The reducers of what may travel by reference, and tables of a library's pickler that they are put into."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, MutableMapping
from functools import partial
from typing import Any

import numpy as np

from .by_reference import Reduced, refer_to_array, refer_to_buffer, refers

Reducer = Callable[[Any], Any]
"""Takes an object apart, as ``object.__reduce__`` does."""


LATE = ("pyarrow", "pandas.arrays")
"""Modules whose classes have reducers here; they may be loaded at any time, and are not loaded for us."""


def loaded() -> int:
    """How many of ``LATE`` are loaded: when it is another number, there are more reducers."""
    return sum(name in sys.modules for name in LATE)


def reducers(protocol: int) -> dict[type, Reducer]:
    """By type, what takes an object apart; those of modules that are loaded.

    Args:
        protocol: Of the pickles, for objects that travel as bytes.
    """
    found: dict[type, Reducer] = dict.fromkeys((np.ndarray, np.recarray), partial(_reduce, refer_to_array, protocol))
    modules: list[Any] = [sys.modules.get(name) for name in LATE]
    arrow, pandas = modules
    if hasattr(arrow, "Buffer"):  # it may be in the middle of its import
        found[arrow.Buffer] = partial(_reduce, refer_to_buffer, protocol)
        for name in ("ArrowStringArray", "ArrowExtensionArray"):
            if hasattr(pandas, name):
                found[getattr(pandas, name)] = partial(_reduce, _as_it_lies, protocol)
    return found


class Table:
    """Entries of ours in tables of others, to be taken out again."""

    def __init__(self) -> None:
        self._before: list[tuple[MutableMapping[Any, Any], Any, Any, Any]] = []
        self._loaded = -1

    def is_late(self) -> bool:
        """Was something loaded since the last time that has reducers, too?"""
        return loaded() != self._loaded

    def extend(self, table: MutableMapping[Any, Any], entries: Mapping[Any, Any]) -> None:
        """Put entries in; those for which it was done before stay.

        Args:
            table: Of a library, by type.
            entries: What to put in.
        """
        self._loaded = loaded()
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
        self._loaded = -1


def _as_it_lies(array: Any) -> Any:
    """An array of pandas over Arrow: pandas would make a copy of its chunks, to pickle them as one."""
    chunks = array._pa_array.chunks  # noqa: SLF001 - that is what there is of it
    buffers = [buffer for chunk in chunks for buffer in chunk.buffers() if buffer is not None]
    if not any(refers(buffer) for buffer in buffers):
        return None
    state = {**array.__dict__, "_pa_array": chunks}
    if "_cache" in state:
        state["_cache"] = {}
    return _new, (type(array),), state


def _new(kind: Any) -> Any:
    return kind.__new__(kind)


def _reduce(refer: Callable[[Any], Reduced | None], protocol: int, obj: Any) -> Any:
    return refer(obj) or obj.__reduce_ex__(protocol)
