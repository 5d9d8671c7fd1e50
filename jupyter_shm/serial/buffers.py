"""The bytes of an object before they are stored: where they are, and in which order.  Nothing is copied here."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np

Buffer: TypeAlias = "memoryview | np.ndarray[Any, Any]"
"""Bytes to be stored, still where the object keeps them; both kinds have ``nbytes``.

A memoryview is one-dimensional, C-contiguous, of format "B".  An ndarray is not contiguous, and its elements are to
be written in C order.  Either keeps its object alive.
"""


def flat(array: np.ndarray[Any, Any]) -> tuple[Buffer, Literal["C", "F"]]:
    """Give an array's bytes without copying them.

    Args:
        array: Of a plain dtype, any layout, read-only or not.

    Returns:
        The buffer, and the order ("C" or "F") in which it holds the elements.
    """
    flags = array.flags
    # Flattened, then seen as uint8: memoryview(array) refuses datetime64, and cast("B") refuses bool, complex
    # and records.  Neither step copies a contiguous array, 0-d and empty ones included.
    if flags.c_contiguous:
        return array.reshape(-1).view(np.uint8).data, "C"
    if flags.f_contiguous:
        return array.T.reshape(-1).view(np.uint8).data, "F"
    return array, "C"
