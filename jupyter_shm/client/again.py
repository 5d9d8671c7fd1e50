"""A get of an ndarray of which a view lives already: another array over the same root, and a look at what may have changed.

What is kept for it does not keep the root, so it pins no memory, and goes when the root ends.  It is never an array:
whoever has one may change its shape or its dtype.  While the root lives its lease is held, so its bytes are what they
were; whether the name still means them is said by the bucket and the slot's state word, which are read each time.

Nothing is written here, and no lock is taken: an interrupt may fall anywhere.  Such a get is not counted as a read.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

import numpy as np

from ..tables.layout import WORD_ENDED, WORD_HASH_BITS
from .leases import Leased, Leases
from .refs import ObjectRef
from .session import Session

Array = np.ndarray[Any, Any]


def again(session: Session, key: Any) -> Array | None:  # noqa: PLR0911 - each look may be the last one
    """Make another array of what is shown already.

    Args:
        session: Where calls go to, as far as its user knows.
        key: What the user gave; anything.

    Returns:
        A read-only array of its own; ``None``: it is not known without asking, so go the long way.
    """
    if type(key) is ObjectRef:
        if key.store != session.welcome.store:
            return None
        key = key.id
    elif type(key) is not str:
        return None
    shown = session.leases.shown.get(key)
    if shown is None:
        return None
    ref, word, state, at, bucket, bits, part, shape, dtype, offset, strides = shown
    root = ref()  # before any look: as long as there is a root, the memory of its session stays
    if root is None or session.connection.broken is not None or monotonic() >= session.next_look:
        return None
    words = session.words
    if words[word] != state or words[at] != bucket or words[WORD_HASH_BITS] != bits or words[WORD_ENDED]:
        return None
    if part is not None:
        return root[part].view(dtype)
    array: Array = np.ndarray(shape, dtype, root, offset, strides)
    return array


def show(
    leases: Leases,
    leased: Leased,
    key: str | int,
    array: Array,
    offset: int,
    *,
    part: slice | None = None,
    strides: tuple[int, ...] | None = None,
) -> None:
    """Keep what another array like this one takes.

    Args:
        leases: Of its session.
        leased: The object.
        key: The name that means it, or its id.
        array: What was made of it over its root; it is not kept.
        offset: Where in the root its elements start, in bytes.
        part: Its bytes in the root, when that and its dtype is all there is to it: it has one axis.
        strides: Its strides; ``None``: C order.
    """
    dtype, ref, place = array.dtype, leased.ref, leased.place
    if place is None or dtype.names is not None:
        return  # names of fields can be changed in place, so every array of records has a dtype of its own
    if isinstance(key, str):
        ref.name = key  # first: what is shown is forgotten under this name
    leases.shown[key] = (ref, *place, part, array.shape, dtype, offset, strides)
