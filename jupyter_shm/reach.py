"""Which objects lead to given arrays, and so keep them.  Knows of no store, and of no notebook.

An array cannot be asked who refers to it, for numpy's arrays take no part in garbage collection.  So the way goes
forward, from where people keep things: into containers, instances, tables, closures, tracebacks.  It ends at modules,
classes and the globals of functions: through them everything leads to everything.
"""

from __future__ import annotations

import gc
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

LIMIT = 300_000
"""Objects that are looked at: about half a second."""

Array = np.ndarray[Any, Any]

_LEAVES = frozenset({int, float, complex, bool, str, bytes, bytearray, type(None), CodeType, np.dtype})
"""Exact types that lead nowhere."""


class Reach:
    """The ways from some objects to some arrays, followed once.

    It keeps whatever it has met: let go of it before looking whether something is still alive.

    Args:
        starts: Where the ways begin.
        targets: Contiguous arrays that stand on something that is no array: the roots of all views.
        stops: Objects that no way goes through.
        opaque: Classes whose very instances lead nowhere.
        limit: How many objects are looked at.
    """

    def __init__(
        self,
        starts: Iterable[object],
        targets: Iterable[Array],
        stops: Iterable[object] = (),
        opaque: Iterable[type] = (),
        limit: int = LIMIT,
    ) -> None:
        self._targets = list(targets)
        self._spans = [(target.ctypes.data, target.ctypes.data + target.nbytes, target) for target in self._targets]
        self._stops = {id(stop) for stop in stops}
        self._opaque = {*_LEAVES, *opaque}
        self._parents: dict[int, list[int]] = {}
        self._met: list[object] = []  # so that no id is given again meanwhile
        self._follow(starts, limit)

    def leading_to(self, targets: Iterable[Array]) -> set[int]:
        """The ids of all objects that were met and lead to one of these, themselves included.

        Args:
            targets: Some of those that it was made for.
        """
        found: set[int] = set()
        todo = [id(target) for target in targets]
        while todo:
            one = todo.pop()
            if one not in found:
                found.add(one)
                todo += self._parents.get(one, ())
        return found

    def _follow(self, starts: Iterable[object], limit: int) -> None:
        """From the nearest to the farthest; what lies deepest is left out when the limit is reached."""
        todo = deque(start for start in starts if type(start) not in self._opaque and self._meet(start))
        while todo and len(self._met) <= limit:
            one = todo.popleft()
            for child in self._children(one):
                if type(child) not in self._opaque and id(child) not in self._stops:
                    if self._meet(child):
                        todo.append(child)
                    self._parents[id(child)].append(id(one))

    def _meet(self, one: object) -> bool:
        """Is it seen for the first time?"""
        if id(one) in self._parents:
            return False
        self._parents[id(one)] = []
        self._met.append(one)
        return True

    def _children(self, one: object) -> list[object]:
        try:
            found = list(referents(one))
            for address, nbytes in memory_of(one):
                found += (target for start, end, target in self._spans if start < address + nbytes and address < end)
        except Exception:
            return []  # an object that cannot be asked is no reason to find nothing else
        return found


def referents(one: Any) -> Iterable[object]:
    """What an object refers to, but for its class, and for the world that a function lives in."""
    kind = type(one)  # not isinstance(), which asks the object: a proxy may answer with an error, or begin to work
    if issubclass(kind, np.ndarray):
        elements = one.view(np.ndarray).ravel("K") if one.dtype == object else ()
        return [one.base, *gc.get_referents(one), *elements]
    if kind is memoryview:
        return [one.obj]
    if issubclass(kind, (np.void, np.flatiter)):
        return [one.base]
    if kind is FunctionType:
        return [one.__closure__, one.__defaults__, one.__kwdefaults__, one.__dict__]
    if issubclass(kind, ModuleType) or (issubclass(kind, type) and one.__module__ != "__main__"):
        return []
    return gc.get_referents(one)


def memory_of(one: Any) -> list[tuple[int, int]]:
    """Address and size in bytes of the memory that an object of C++ uses and hides from the collector."""
    package = str(type(one).__module__).partition(".")[0]
    if package == "pyarrow":
        return [(buffer.address, buffer.size) for buffer in _arrow_buffers(one)]
    if package == "torch" and hasattr(one, "data_ptr"):
        return [(one.data_ptr(), 1)]
    return []


def _arrow_buffers(one: Any) -> Iterator[Any]:
    pa = sys.modules["pyarrow"]

    if isinstance(one, pa.Buffer):
        yield one
    elif isinstance(one, pa.Array):
        yield from filter(None, one.buffers())
        if one.type.id == pa.lib.Type_DICTIONARY:
            yield from _arrow_buffers(one.dictionary)
    elif isinstance(one, pa.ChunkedArray):
        for chunk in one.chunks:
            yield from _arrow_buffers(chunk)
    elif isinstance(one, (pa.Table, pa.RecordBatch)):
        for column in one.columns:
            yield from _arrow_buffers(column)


def globals_of_modules() -> dict[str, dict[str, Any]]:
    """The namespaces of all modules by name; through them everything leads to everything."""
    modules: dict[str, object] = dict(sys.modules)  # anybody may put anything there
    # Not vars(), at which a module that is to be loaded at its first use would be loaded.
    return {
        name: object.__getattribute__(module, "__dict__")
        for name, module in modules.items()
        if issubclass(type(module), ModuleType)
    }
