"""What contains what, in circles: such objects would never be freed.  No I/O here.

An object contains what was there before it, so there is no circle; but for one that was PENDING: somebody may have put
a reference to it into an object, and then have made it of that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .entries import Object

MOST = 100_000
"""References that are followed at most: some ten milliseconds in which nobody else is served."""


def leads_to(objects: Mapping[int, Object], start: Iterable[int], goal: int, most: int = 1 << 62) -> bool:
    """Is an object among these, or contained in them, or in what they contain?

    Args:
        objects: All there are, by id.
        start: Ids.
        goal: Id of the object.
        most: References that are followed; where it takes more, the answer is yes.
    """
    seen: set[int] = set()
    ahead, followed = list(start), 0
    while ahead:
        id = ahead.pop()
        followed += 1
        if id == goal or followed > most:
            return True
        if id not in seen and id in objects:
            seen.add(id)
            ahead += objects[id].contained
    return False
