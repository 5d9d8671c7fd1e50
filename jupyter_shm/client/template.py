"""Small arrays, ready to be written, with one copy: what is the same for all of one kind is made once.  No I/O here."""

from __future__ import annotations

import time
from typing import Any, Literal

import numpy as np

from ..serial.dtypes import plain
from ..serial.pack import pack
from .writing import SMALLEST_SHARED, Placed, place

MAX_TEMPLATES = 256
"""Kinds of arrays (dtype, shape, order) that are remembered at most."""

_templates: dict[tuple[str, tuple[int, ...], str, str], bytes] = {}


def small_array(obj: object, label: str) -> tuple[bytes, int, int] | None:
    """Lay out a small ndarray.

    Args:
        obj: What is to be put.
        label: Of this process.

    Returns:
        All bytes of the object, how many of them are data, and the time (nanoseconds since 1970).
        ``None``: it is no small ndarray, and goes the long way.
    """
    if type(obj) is not np.ndarray or obj.nbytes >= SMALLEST_SHARED:
        return None
    dtype = plain(obj.dtype)
    if dtype is None:
        return None
    flags = obj.flags
    order: Literal["C", "F"] = "F" if flags.f_contiguous and not flags.c_contiguous else "C"
    key = (dtype.descr, obj.shape, order, label)
    prefix = _templates.get(key) or _make(key, obj)
    return prefix + obj.tobytes(order), obj.nbytes, time.time_ns()


def placed_as(small: tuple[bytes, int, int]) -> Placed:
    """The same, for the long way."""
    data, payload, created_ns = small
    return Placed(len(data), payload, created_ns, [(0, memoryview(data))], ())


def _make(key: tuple[str, tuple[int, ...], str, str], array: np.ndarray[Any, Any]) -> bytes:
    placed = place(pack(array), key[3], lambda _: None)
    if len(_templates) >= MAX_TEMPLATES:
        _templates.clear()
    prefix = _templates[key] = placed.buffers[0][1].tobytes()
    return prefix
