"""Who holds an object, in this notebook by which names, and letting go of it: %shm_who and %shm_release.

Nothing here may keep what it looks at: what is found is told as text, and all else is gone when a function returns.
"""

from __future__ import annotations

import gc
from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments

from .client.hold import Hold, clients, holds
from .client.info import Holder, ObjectInfo
from .client.store import Store
from .errors import ObjectNotFoundError
from .invocation import parsed, unquoted
from .places import LAST_ERROR, Place, functions_in, own_objects, places, places_of_modules
from .reach import LIMIT, Reach, globals_of_modules
from .sizes import format_size

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

WIDE_LIMIT = 3 * LIMIT
"""Objects that are looked at where the notebook's own names do not say who holds an object."""

UNSEEN = (
    "something that cannot be seen from here: a function that runs, a thread, code in C, the depth of a large object"
)


class Grip(NamedTuple):
    """A place that keeps an object, and what it is that is kept there."""

    place: str
    what: str

    def __str__(self) -> str:
        return f"{self.place}, {self.what}" if self.what else self.place


@magics_class
class Grips(Magics):
    """Find out what keeps an object, and let go of it.

    Args:
        shell: The IPython.
        connect: Gives the store that the magics use.
    """

    shell: InteractiveShell

    def __init__(self, shell: InteractiveShell, connect: Callable[[], Store]) -> None:
        super().__init__(shell)
        self._connect = connect

    @magic_arguments()
    @argument("names", nargs="+", metavar="name", type=unquoted, help="published, or deleted and still held here")
    @line_magic
    @parsed
    def shm_who(self, args: Namespace) -> None:
        """Show who holds an object: other processes, and the variables, outputs and errors of this notebook."""
        store = self._connect()
        for lines in [self._who(store, name) for name in args.names]:
            print(*lines, sep="\n")

    @magic_arguments()
    @argument("names", nargs="+", metavar="name", type=unquoted, help="published, or deleted and still held here")
    @line_magic
    @parsed
    def shm_release(self, args: Namespace) -> None:
        """Let go of all views of an object in this notebook, and print what was cleared.

        Variables that hold or contain such a view are deleted, outputs and the last error forgotten.  The object
        stays published; if its name is gone and nobody else reads it, its memory is free.
        """
        store = self._connect()
        held = [name for name in args.names if holds(store.name, name)]
        for name in args.names:
            if name not in held:
                _require(store, name)
        for name in args.names:
            self._release(store.name, name, name in held)

    def _who(self, store: Store, name: str) -> list[str]:
        """The lines about one name: each version that is published or held here, and who holds it."""
        found = holds(store.name, name)
        current = _info(store, name)
        if current is None and not found:
            _require(store, name)
        lines = []
        if current is not None and current.id not in {hold.ref.id for hold in found}:
            lines += [_heading(name, current.version, current.nbytes, ""), *_others(store, current)]
        for hold in found:
            is_current = current is not None and current.id == hold.ref.id
            info = current if is_current else _info(store, hold.ref)
            state = (
                "" if is_current else "; its name is gone" if current is None else "; its name means another version"
            )
            lines.append(_heading(name, hold.ref.version, hold.nbytes, state))
            lines += [f"  this kernel: {grip}" for grip in self._explained([hold])]
            lines += _others(store, info)
        return lines if len(lines) > 1 else [f"{lines[0]}; nobody holds it"]

    def _release(self, store: str, name: str, is_held: bool) -> None:
        if not is_held:
            print(f"this kernel holds nothing of {name!r}")
            return
        cleared = self._clear(store, name)
        if not cleared or holds(store, name):
            gc.collect()  # what was cleared may be kept by a cycle of its own
        rest = self._rest(store, name)
        print(
            *(f"cleared {grip}" for grip in cleared), *(f"{name!r} is still held by {grip}" for grip in rest), sep="\n"
        )

    def _clear(self, store: str, name: str) -> list[Grip]:
        found = holds(store, name)
        cleared = []
        for place, grip in _grips(places(self.shell), found, self._stops()):
            place.clear()
            cleared.append(grip)
        return cleared

    def _rest(self, store: str, name: str) -> list[Grip]:
        found = holds(store, name)
        return self._explained(found) if found else []

    def _explained(self, found: list[Hold]) -> list[Grip]:
        """The places of this kernel that hold something; at least one, for it is held."""
        here = [grip for _, grip in _grips(places(self.shell), found, self._stops())]
        if here:
            return here
        wide = places_of_modules(vars(self.shell.user_module))
        here = [grip for _, grip in _grips(wide, found, self._stops(), WIDE_LIMIT)]
        return here or [Grip(UNSEEN, "")]

    def _stops(self) -> list[object]:
        return [*own_objects(self.shell), *globals_of_modules().values()]


def _grips(known: list[Place], found: list[Hold], stops: list[object], limit: int = LIMIT) -> list[tuple[Place, Grip]]:
    """Which of the places keep something of what is held."""
    roots = [root for hold in found for root in hold.roots]
    # A store remembers what was asked of it, but does not keep it.
    reach = Reach([kept for place in known for kept in place.kept], roots, stops, {Store}, limit)
    meant = reach.leading_to(roots)
    return [
        (place, Grip(place.name, _what(place, meant)))
        for place in known
        if any(id(kept) in meant for kept in place.kept)
    ]


def _what(place: Place, meant: set[int]) -> str:
    """What it is that is kept at a place, where it is not just a view."""
    if place.name == LAST_ERROR:
        functions = functions_in(place, lambda variable: id(variable) in meant)
        return f"in {' and '.join(functions)}" if functions else ""
    (kind,) = {type(kept) for kept in place.kept if id(kept) in meant} or {object}
    return "" if kind.__name__ == "ndarray" else f"a {kind.__name__}"


def _others(store: Store, info: ObjectInfo | None) -> list[str]:
    ours = clients(store.name)
    holders = info.holders if info is not None else ()
    return [f"  {_described(one)}" for one in holders if one.client not in ours]


def _described(holder: Holder) -> str:
    kernel = f", kernel {holder.kernel[:8]}" if holder.kernel else ""
    return f"{holder.label}: pid {holder.pid}{kernel}, client {holder.client}"


def _heading(name: str, version: int, nbytes: int, state: str) -> str:
    return f"{name}: version {version}, {format_size(nbytes)}{state}"


def _info(store: Store, key: object) -> ObjectInfo | None:
    try:
        return store.info(key)
    except ObjectNotFoundError:
        return None


def _require(store: Store, name: str) -> None:
    if _info(store, name) is None:
        raise UsageError(f"nothing is published under {name!r}, and this kernel holds nothing of that name")
