"""Functions on their way to workers: pickled once for each definition, and anew when what they use has changed.

A function of a module that can be imported goes by its name.  One that was defined in a notebook or a script goes as code,
together with the globals that it uses; so it is looked at, before each call, whether these are still the same objects.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

from ..client.parcels import Parcel, pack_parcel
from ..client.refs import ObjectRef

_STEADY = (str, bytes, int, float, complex, bool, type(None), type, ModuleType, BuiltinFunctionType, frozenset, range)
"""What does not change while it is the same object; of a class we take it that nobody changes it in place."""

_MISSING = object()


class Named(NamedTuple):
    """Something that the other side imports."""

    module: str
    path: str

    def find(self) -> Any:
        """Import it."""
        found: Any = import_module(self.module)
        for name in self.path.split("."):
            found = getattr(found, name)
        return found


class Definition(NamedTuple):
    """A function as it was when it was pickled.

    Attributes:
        digest: Equal for equal ones.
        code: What the other side needs.
        kept: What has to live until it was read.
    """

    digest: bytes
    code: Parcel
    kept: list[ObjectRef]


class Source:
    """A function that will be called elsewhere.

    Args:
        function: The function.
        shown: What stands under its name in its module, if that is not itself.
    """

    def __init__(self, function: Callable[..., Any], shown: object = None) -> None:
        self.function = function
        self._shown = shown if shown is not None else function
        self._definition: Definition | None = None
        self._uses: list[tuple[dict[str, Any], str, Any]] | None = []

    def definition(self) -> Definition:
        """What to send.

        Raises:
            UnpicklableError: The text names what the function uses that cannot be pickled.
        """
        found = self._definition
        if found is None or not self._is_same():
            found = self._definition = self._define()
        return found

    def _is_same(self) -> bool:
        if self._uses is None:
            return False
        return all(scope.get(name, _MISSING) is value for scope, name, value in self._uses)

    def _define(self) -> Definition:
        named = name_of(self._shown, self.function)
        self._uses = [] if named is not None else _uses_of(self.function)
        parcel, kept = pack_parcel(named or self.function)
        digest = hashlib.blake2b(b"%d %d" % (parcel.store, parcel.id) + parcel.data, digest_size=16).digest()
        return Definition(digest, parcel, kept)


def name_of(shown: object, function: Any) -> Named | None:
    """Under which name a worker can import something; ``None``: it has to be sent."""
    module, path = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if module in {None, "__main__"} or "<" in path or module not in sys.modules:
        return None
    from cloudpickle import list_registry_pickle_by_value  # type: ignore[import-untyped]

    parts = module.split(".")
    if any(".".join(parts[:end]) in list_registry_pickle_by_value() for end in range(1, len(parts) + 1)):
        return None
    found: Any = sys.modules[module]
    if getattr(found, "__spec__", None) is None:
        return None  # made by hand: nobody can import it
    for name in path.split("."):
        found = getattr(found, name, None)
    return Named(module, path) if found is shown else None


def _uses_of(function: Any) -> list[tuple[dict[str, Any], str, Any]] | None:
    """The globals that a function uses, and those of the functions among them; ``None``: something may change in place."""
    found: list[tuple[dict[str, Any], str, Any]] = []
    seen: set[int] = set()
    todo = [function]
    while todo:
        one = todo.pop()
        one = getattr(one, "__wrapped_source__", one)
        if not isinstance(one, FunctionType) or id(one) in seen:
            if not isinstance(one, FunctionType) and not _is_steady(one):
                return None
            continue
        seen.add(id(one))
        for cell in one.__closure__ or ():
            try:
                todo.append(cell.cell_contents)
            except ValueError:  # empty as yet
                return None
        todo += one.__defaults__ or ()
        todo += (one.__kwdefaults__ or {}).values()
        if not _goes_by_value(one):
            continue
        for name in set(_names(one.__code__)) & one.__globals__.keys():
            value = one.__globals__[name]
            found.append((one.__globals__, name, value))
            todo.append(value)
    return found


def _is_steady(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_steady, value))
    return isinstance(value, _STEADY)


def _goes_by_value(function: FunctionType) -> bool:
    return name_of(function, function) is None


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def load(parcel: Parcel) -> Callable[..., Any]:
    """The other side: the function."""
    found = parcel.ref() if parcel.kind == 2 else None
    if found is not None:
        from ..client.default import default_store

        function = default_store().get(found)
    else:
        function = parcel.build()
    function = function.find() if isinstance(function, Named) else function
    return getattr(function, "__wrapped_source__", function)  # type: ignore[no-any-return]
