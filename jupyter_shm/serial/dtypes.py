"""Which numpy dtypes travel as a line of text, and what that line is.  No I/O here; numpy only.

A dtype is *plain* when the text gives back exactly the same dtype.  Arrays of plain dtypes go without pickle.
Whatever the text would lose (metadata, the alignment flag, overlapping fields) leaves the array to pickle, which
keeps it and shares the bytes just as well.
"""

from __future__ import annotations

import ast
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

MAX_REMEMBERED = 256  # dtypes; a kernel meets about ten, so this only bounds a loop over generated ones
MAX_TEXT = 200  # characters of a dtype shown to people; a record of a thousand fields is cut

_PLAIN_KINDS = frozenset("biufcmMSUV")


class PlainDtype(NamedTuple):
    """A dtype as text.

    Attributes:
        descr: What ``dtype_from`` understands: ``"<f8"``, or the literal of a ``.npy`` field list.
        text: The same for people, at most ``MAX_TEXT`` characters.
    """

    descr: str
    text: str


# By id, with the dtype in the value so that the id cannot be reused: dtypes that differ only in metadata are equal
# and would share an entry of a dict keyed by dtype.
_remembered: dict[int, tuple[np.dtype[Any], PlainDtype | None]] = {}


def plain(dtype: np.dtype[Any]) -> PlainDtype | None:
    """Return the text of a plain dtype, or None when only pickle can carry it.

    Args:
        dtype: Any dtype, of numpy or not.

    Returns:
        The text, such that ``dtype_from(text.descr) == dtype``.
    """
    known = _remembered.get(id(dtype))
    if known is not None:
        return known[1]
    found = _look_at(dtype)
    # Not records: `array.dtype.names = (...)` renames the fields of a dtype in place, and the old names would stay.
    if dtype.names is None:
        if len(_remembered) >= MAX_REMEMBERED:
            _remembered.clear()
        _remembered[id(dtype)] = (dtype, found)
    return found


def dtype_from(descr: str) -> np.dtype[Any]:
    """Build the dtype that ``plain`` described.

    Args:
        descr: ``PlainDtype.descr``.

    Returns:
        A dtype; a fresh one for records, since their field names can be changed in place.

    Raises:
        ValueError: The text is no dtype, or one that holds objects.
    """
    # Only records are built anew: their field names can be changed in place, all other dtypes cannot be changed.
    return _built(descr) if descr.startswith("[") else _built_once(descr)


def _built(descr: str) -> np.dtype[Any]:
    try:
        fields: Any = ast.literal_eval(descr) if descr.startswith("[") else descr
        dtype: np.dtype[Any] = np.lib.format.descr_to_dtype(fields)
    except (TypeError, ValueError, SyntaxError, KeyError, IndexError, RecursionError) as error:
        raise ValueError(f"{descr[:MAX_TEXT]!r} is no dtype: {error}") from error
    if dtype.hasobject:
        raise ValueError(f"{descr[:MAX_TEXT]!r} holds Python objects, which are addresses in another process")
    return dtype


_built_once = lru_cache(MAX_REMEMBERED)(_built)


def _look_at(dtype: np.dtype[Any]) -> PlainDtype | None:
    # An itemsize of 0 ("S0", an empty record) is left to pickle: np.ndarray refuses it over a buffer.
    if dtype.itemsize == 0 or not _is_numpys_own(dtype):
        return None
    try:
        descr: Any = np.lib.format.dtype_to_descr(dtype)
        text = descr if isinstance(descr, str) else repr(descr)
        same = dtype_from(text) == dtype
    except (TypeError, ValueError):  # overlapping or out-of-order fields have no descr; titles may be any object
        return None
    return PlainDtype(text, str(dtype)[:MAX_TEXT]) if same else None


def _is_numpys_own(dtype: np.dtype[Any]) -> bool:
    # Equality overlooks metadata, the alignment flag and np.record, so they are asked for one by one.
    if dtype.metadata is not None or dtype.hasobject or dtype.isbuiltin == 2 or dtype.kind not in _PLAIN_KINDS:
        return False
    if type(dtype).__module__.partition(".")[0] != "numpy":  # a user-defined dtype of the new kind
        return False
    if dtype.subdtype is not None:
        return _is_numpys_own(dtype.subdtype[0])
    if dtype.fields is not None:
        fields = dtype.fields.values()
        return dtype.type is np.void and not dtype.isalignedstruct and all(_is_numpys_own(field[0]) for field in fields)
    return dtype.kind != "V" or dtype.type is np.void
