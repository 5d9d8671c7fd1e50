"""Find what inside an object cannot be pickled.  Runs only after a failure; no I/O here.

It asks pickle itself, so the two cannot disagree: every object is taken apart with the reduction that the failed
pickle used, and its parts are pickled into nothing, half of them at a time.
"""

from __future__ import annotations

import copyreg
import pickle
from collections.abc import Iterator
from itertools import chain
from types import CodeType, FunctionType
from typing import Any, NamedTuple

import numpy as np

from .pickler import PROTOCOL, Pickler

MAX_PROBES = 2000  # trial picklings; each may run code of the object's owner
MAX_DEPTH = 50  # levels; a path longer than this helps nobody
MAX_SHOWN = 60  # characters of one step of a path

# Where well-known objects keep what their reduction hands out without a name.
_COMMON_ATTRIBUTES = ("__self__", "__func__", "func", "args", "keywords", "cell_contents", "default_factory", "fget")


class Child(NamedTuple):
    """A part of an object and the step that leads to it.

    The step is put together only for the few parts on the path: a list may have a million.
    """

    template: str  # ".{}" for an attribute, else key's repr goes in
    key: Any
    value: Any

    @property
    def step(self) -> str:
        """The step as it stands in a path."""
        return self.template.format(self.key if self.template.startswith(".") else _shown(self.key))


class _Discard:
    """A file that forgets, so that a probe costs no memory."""

    def write(self, data: bytes, /) -> int:
        return len(data)


class _GaveUpError(Exception):
    """The probes are used up."""


def explain(obj: object, error: Exception, name: str = "obj") -> str:
    """Say what cannot be pickled and where it is.

    Args:
        obj: The object whose pickling failed.
        error: How it failed.
        name: What the path begins with.

    Returns:
        "obj['config'].lock: cannot pickle '_thread.lock' object"; without the path when the search found none.
    """
    if isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError):
        return "it is nested too deeply for pickle (sys.getrecursionlimit()); store it in flatter pieces"
    try:
        found = _Search().find(obj, name, error, 0)
    except _GaveUpError:
        found = None
    except MemoryError:
        raise
    except Exception:  # the object's own code failed in a new way; the first error is the one to tell
        found = None
    return _said(error) if found is None else f"{found[0]}: {_said(found[1])}"


class _Search:
    """One search: depth first, with the objects already visited and the probes that are left."""

    def __init__(self) -> None:
        self._probes_left = MAX_PROBES
        self._seen: dict[int, object] = {}  # by id; the object too, since parts may be temporaries

    def find(self, obj: object, path: str, error: Exception, depth: int) -> tuple[str, Exception] | None:
        """Return the path to a part that fails though none of its own parts does, or None in a dead end."""
        self._seen[id(obj)] = obj
        if depth == MAX_DEPTH:
            return path, error
        in_a_circle = False
        for child, why in self._failing(list(_children(obj))):
            if id(child.value) in self._seen:
                in_a_circle = True
                continue
            found = self.find(child.value, path + child.step, why, depth + 1)
            if found is not None:
                return found
        # Failing only through an object that is being searched anyway is no fault of this one.
        return None if in_a_circle else (path, error)

    def _failing(self, children: list[Child]) -> Iterator[tuple[Child, Exception]]:
        groups = [children]
        while groups:
            group = groups.pop()
            error = self._probe([child.value for child in group])
            if error is None:
                continue
            if len(group) == 1:
                yield group[0], error
                continue
            half = len(group) // 2
            groups += [group[half:], group[:half]]

    def _probe(self, values: list[Any]) -> Exception | None:
        if self._probes_left == 0:
            raise _GaveUpError
        self._probes_left -= 1
        try:
            Pickler(_Discard()).dump(values)
        except MemoryError:
            raise
        except Exception as error:
            return error
        return None


def _children(obj: Any) -> Iterator[Child]:
    kind = type(obj)
    if kind is dict:
        yield from _items_of(obj.items())
    elif kind in (list, tuple):
        yield from _elements_of(obj)
    elif kind in (set, frozenset):
        yield from (Child("<member {}>", member, member) for member in obj)
    elif kind is np.ndarray:
        if obj.dtype == object:
            yield from (Child("[{}]", *place_and_value) for place_and_value in _object_cells(obj))
    elif _is_pandas(kind, "DataFrame"):
        yield from (Child("[{}]", label, column) for label, column in obj.items())
    elif _is_pandas(kind, "Series"):
        if obj.dtype == object:
            yield from (Child(".iloc[{}]", i, value) for i, value in enumerate(obj.array))
    else:
        yield from _children_by_reduction(obj)


def _children_by_reduction(obj: Any) -> Iterator[Child]:
    reduced = _reduction(obj)
    if not isinstance(reduced, tuple):  # a name: imported, not taken apart
        return
    make, args, state, elements, items = (*reduced, None, None, None)[:5]
    yield Child(".{}", "__reduce__()[0]", make)
    if getattr(make, "__name__", "") in ("__newobj__", "__newobj_ex__") and args:
        yield Child(".{}", "__class__", args[0])
        args = args[1:]
    yield from _named_parts(obj, args or (), "__reduce__()[1]")
    yield from _state_parts(obj, state)
    yield from _elements_of(elements or ())
    yield from _items_of(items or ())


def _reduction(obj: Any) -> Any:
    """The pieces that pickle makes of an object, found in pickle's order of places."""
    if isinstance(obj, CodeType):
        return None
    pickler = Pickler(_Discard())
    try:
        reduced = pickler.reducer_override(obj)
        if reduced is not NotImplemented:
            return reduced
        if isinstance(obj, type):
            return None
        reduce = pickler.dispatch_table.get(type(obj)) or copyreg.dispatch_table.get(type(obj))
        return obj.__reduce_ex__(PROTOCOL) if reduce is None else reduce(obj)
    except MemoryError:
        raise
    except Exception:  # then the object itself is the culprit, and the probe's error says why
        return None


def _state_parts(obj: Any, state: Any) -> Iterator[Child]:
    if _is_dict_and_slots(state):
        state = {**(state[0] or {}), **state[1]}
    if isinstance(state, dict):
        for name, value in state.items():
            yield from _attribute(obj, name, value)
    elif isinstance(state, tuple):
        yield from _named_parts(obj, state, "__getstate__()")
    elif state is not None:
        yield Child(".{}", "__getstate__()", state)


def _is_dict_and_slots(state: Any) -> bool:
    # pickle's own form of an instance with slots; cloudpickle uses it for functions and classes too.
    if not (isinstance(state, tuple) and len(state) == 2):
        return False
    return isinstance(state[0], (dict, type(None))) and isinstance(state[1], dict)


def _attribute(obj: Any, name: Any, value: Any) -> Iterator[Child]:
    if isinstance(obj, FunctionType) and name == "__globals__":
        yield from (Child("<global {}>", key, part) for key, part in value.items())
    elif isinstance(obj, FunctionType) and name == "__closure__":
        for variable, cell in zip(obj.__code__.co_freevars, value or (), strict=False):
            try:
                yield Child("<closure variable {}>", variable, cell.cell_contents)
            except ValueError:  # not assigned yet
                continue
    else:
        yield Child(".{}", name, value)


def _named_parts(obj: Any, parts: tuple[Any, ...], fallback: str) -> Iterator[Child]:
    """Name the parts of a reduction after the attributes that hold them."""
    own = getattr(obj, "__dict__", None)
    common = ((name, getattr(obj, name, None)) for name in _COMMON_ATTRIBUTES)
    names = {id(value): name for name, value in chain(common, own.items() if isinstance(own, dict) else ())}
    for position, part in enumerate(parts):
        yield Child(".{}", names.get(id(part), f"{fallback}[{position}]"), part)


def _object_cells(array: np.ndarray[Any, Any]) -> Iterator[tuple[Any, Any]]:
    return ((place[0] if len(place) == 1 else place, value) for place, value in np.ndenumerate(array))


def _elements_of(values: Any) -> Iterator[Child]:
    return (Child("[{}]", position, value) for position, value in enumerate(values))


def _items_of(items: Any) -> Iterator[Child]:
    for key, value in items:
        yield Child("<key {}>", key, key)
        yield Child("[{}]", key, value)


def _is_pandas(kind: type, name: str) -> bool:
    # By name: pandas is never imported for this.
    return kind.__name__ == name and kind.__module__.partition(".")[0] == "pandas"


def _shown(key: Any) -> str:
    try:
        text = repr(key)
    except Exception:
        text = f"<{type(key).__name__}>"
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."


def _said(error: Exception) -> str:
    # pickle's own errors explain themselves; "boom" out of somebody's __reduce__ does not.
    plain = isinstance(error, (TypeError, pickle.PicklingError))
    return str(error) if plain and str(error) else f"{type(error).__name__}: {error}"
