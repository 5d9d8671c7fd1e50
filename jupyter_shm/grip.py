"""What keeps an object in this IPython, by which names, and letting go of it.

Nothing here may keep what it looks at: what is found is told as text, and all else is gone when a function returns.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, NamedTuple

from .client.hold import Hold, holds
from .client.store import Store
from .places import LAST_ERROR, Place, functions_in, own_objects, places, places_of_modules
from .reach import LIMIT, Reach, globals_of_modules

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


def release(shell: InteractiveShell, store: str, name: str) -> list[str]:
    """Let go of all views of an object in this process.

    Args:
        shell: The IPython whose variables, outputs and errors are cleared.
        store: Name of the store.
        name: Of the object; it need not be published any more.

    Returns:
        What was cleared, and what still holds it, a line each; or that there was nothing.
    """
    if not holds(store, name):
        return [f"this kernel holds nothing of {name!r}"]
    cleared = _clear(shell, store, name)
    if not cleared or holds(store, name):
        gc.collect()  # what was cleared may be kept by a cycle of its own
    rest = _rest(shell, store, name)
    return [*(f"cleared {grip}" for grip in cleared), *(f"{name!r} is still held by {grip}" for grip in rest)]


def explained(shell: InteractiveShell, found: list[Hold]) -> list[Grip]:
    """The places of this kernel that hold something; at least one, for it is held."""
    here = [grip for _, grip in _grips(places(shell), found, _stops(shell))]
    if here:
        return here
    wide = places_of_modules(vars(shell.user_module))
    here = [grip for _, grip in _grips(wide, found, _stops(shell), WIDE_LIMIT)]
    return here or [Grip(UNSEEN, "")]


def _clear(shell: InteractiveShell, store: str, name: str) -> list[Grip]:
    found = holds(store, name)
    cleared = []
    for place, grip in _grips(places(shell), found, _stops(shell)):
        place.clear()
        cleared.append(grip)
    return cleared


def _rest(shell: InteractiveShell, store: str, name: str) -> list[Grip]:
    found = holds(store, name)
    return explained(shell, found) if found else []


def _stops(shell: InteractiveShell) -> list[object]:
    return [*own_objects(shell), *globals_of_modules().values()]


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
