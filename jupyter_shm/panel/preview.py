"""A small look at an object, as data: never markup, and never more of it than a page can show.

Made where the object is looked at, in a kernel of the user's; the store can read none of what it keeps.  Of a large array
only the elements that are shown are touched, so looking at one that was spilled reads no more than these from disk.
"""

from __future__ import annotations

import base64
import itertools
import reprlib
from typing import Any, TypeAlias

import msgspec
import numpy as np

ROWS, COLUMNS = 10, 12
"""Of a table, at most."""

POINTS = 240
"""Of a line, at most."""

SIDE = 128
"""Pixels of an image's longer side, at most."""

CELL = 60
"""Characters of a table's cell, at most."""

TEXT = 2000
"""Characters of a text, at most."""


class TableLook(msgspec.Struct, frozen=True, tag="table", tag_field="kind"):
    """The first rows of something with columns; texts.

    Attributes:
        index: What stands before each row; numbers of the rows where there is nothing better.
        note: How much of it that is; ``""`` if all.
    """

    columns: tuple[str, ...]
    index: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str


class LineLook(msgspec.Struct, frozen=True, tag="line", tag_field="kind"):
    """Numbers, evenly spaced in an array of one dimension; ``None`` for what is not finite.

    Attributes:
        low, high: The least and the greatest of the values shown, as text.
        first: The first elements, as text.
    """

    values: tuple[float | None, ...]
    low: str
    high: str
    first: tuple[str, ...]
    note: str


class ImageLook(msgspec.Struct, frozen=True, tag="image", tag_field="kind"):
    """A small picture.

    Attributes:
        pixels: Red, green, blue and alpha of each pixel, a byte each, row by row, in base64.
        low, high: What is black and what is white, as text; ``""`` where the array has colours of its own.
    """

    width: int
    height: int
    pixels: str
    low: str
    high: str
    note: str


class TextLook(msgspec.Struct, frozen=True, tag="text", tag_field="kind"):
    """Anything else, as Python shows it."""

    text: str
    note: str


Look: TypeAlias = TableLook | LineLook | ImageLook | TextLook


def preview_of(obj: Any) -> Look:
    """Look at an object.

    Args:
        obj: Anything.  An error that showing it raises is told as text.
    """
    try:
        if isinstance(obj, np.ndarray) and not isinstance(obj, np.ma.MaskedArray) and not obj.dtype.hasobject:
            return _of_array(obj)
        return _of_frame(obj) or _of_arrow(obj) or _of_anything(obj)
    except Exception as error:
        return TextLook(_cut(f"{type(error).__name__}: {error}", TEXT), "this could not be shown")


# --- arrays ------------------------------------------------------------------------------------------------------------


def _of_array(array: np.ndarray[Any, Any]) -> Look:
    if array.ndim == 0 or array.size == 0:
        return TextLook(_cut(repr(array), TEXT), "")
    if array.dtype.names is not None:
        return _of_records(array)
    if _is_picture(array):
        return _picture(array)
    if array.ndim == 1:
        return _line(array) if array.dtype.kind in "buif" and array.size > 2 else _column(array)
    return _grid(array)


def _is_picture(array: np.ndarray[Any, Any]) -> bool:
    """It has colours, or too many numbers to be read one by one."""
    if array.ndim == 3:
        return array.shape[2] in {3, 4} and array.dtype == np.uint8
    return array.ndim == 2 and min(array.shape) > 2 * COLUMNS and array.dtype.kind in "buif"


def _line(array: np.ndarray[Any, Any]) -> LineLook:
    step = -(-array.size // POINTS)
    shown = array[::step].astype(np.float64)
    finite = shown[np.isfinite(shown)]
    low, high = (f"{finite.min():g}", f"{finite.max():g}") if finite.size else ("", "")
    values = tuple(
        float(value) if is_finite else None for value, is_finite in zip(shown, np.isfinite(shown), strict=True)
    )
    note = "" if step == 1 else f"every {step:,}th of {array.size:,} elements"
    return LineLook(values, low, high, tuple(_text(value) for value in array[:ROWS]), note)


def _picture(array: np.ndarray[Any, Any]) -> ImageLook:
    step = -(-max(array.shape[:2]) // SIDE)
    small = array[::step, ::step]
    height, width = small.shape[:2]
    note = (
        "" if step == 1 else f"every {step:,}th pixel of {array.shape[1]:,} \N{MULTIPLICATION SIGN} {array.shape[0]:,}"
    )
    low = high = ""
    pixels = np.full((height, width, 4), 255, np.uint8)
    if array.ndim == 3:
        pixels[..., : array.shape[2]] = small
    else:
        grey, low, high = _greys(small)
        pixels[..., :3] = grey[..., None]
    return ImageLook(width, height, base64.b64encode(pixels.tobytes()).decode(), low, high, note)


def _greys(small: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], str, str]:
    values = small.astype(np.float64)
    is_finite = np.isfinite(values)
    if not is_finite.any():
        return np.zeros(values.shape, np.uint8), "", ""
    low, high = values[is_finite].min(), values[is_finite].max()
    # Halved: the difference of two finite numbers need not be one.
    scale = 255.0 / ((high / 2 - low / 2) or 1.0)
    grey = np.where(is_finite, (values / 2 - low / 2) * scale, 0.0)
    return np.clip(grey, 0, 255).astype(np.uint8), f"{low:g}", f"{high:g}"


def _grid(array: np.ndarray[Any, Any]) -> TableLook:
    """Two dimensions; of more of them, where all others are 0."""
    others = array.ndim - 2
    where = f"[{', '.join('0' * others)}] of {_shape(array.shape)}: " if others else ""
    array = array[(0,) * others]
    shown = array[:ROWS, :COLUMNS]
    rows = tuple(_texts(row) for row in shown)
    columns = tuple(map(str, range(shown.shape[1])))
    note = _parts(shown.shape, array.shape)
    return TableLook(
        columns, tuple(map(str, range(len(rows)))), rows, (where + (note or "all of it")) if where else note
    )


def _column(array: np.ndarray[Any, Any]) -> TableLook:
    rows = tuple((_text(value),) for value in array[:ROWS])
    return TableLook((array.dtype.name,), tuple(map(str, range(len(rows)))), rows, _parts((len(rows),), array.shape))


def _of_records(array: np.ndarray[Any, Any]) -> TableLook:
    names = (array.dtype.names or ())[:COLUMNS]
    first = list(itertools.islice(array.flat, ROWS))
    rows = tuple(tuple(_text(row[name]) for name in names) for row in first)
    all_of_it = (array.size, len(array.dtype.names or ()))
    return TableLook(names, tuple(map(str, range(len(rows)))), rows, _parts((len(rows), len(names)), all_of_it))


# --- tables ------------------------------------------------------------------------------------------------------------


def _of_frame(obj: Any) -> TableLook | None:
    """pandas: told by what it can do, for it may not be installed here."""
    if not (hasattr(obj, "iloc") and hasattr(obj, "index") and hasattr(obj, "shape")):
        return None
    part = obj.iloc[:ROWS]
    if len(obj.shape) == 1:
        name = "" if obj.name is None else obj.name
        column = tuple((_text(value),) for value in part)
        return TableLook((_text(name),), _texts(part.index), column, _parts((len(column),), obj.shape))
    part = part.iloc[:, :COLUMNS]
    rows = tuple(_texts(row) for row in part.itertuples(index=False, name=None))
    return TableLook(_texts(part.columns), _texts(part.index), rows, _parts(part.shape, obj.shape))


def _of_arrow(obj: Any) -> TableLook | None:
    """Arrow and polars tables, told by what they can do."""
    if not (hasattr(obj, "slice") and hasattr(obj, "shape") and len(getattr(obj, "shape", ())) == 2):
        return None
    known = getattr(obj, "column_names", None) or getattr(obj, "columns", None) or ()
    names = [name for name in known if isinstance(name, str)][:COLUMNS]
    part = obj.slice(0, ROWS)
    columns = [part[name].to_pylist() if hasattr(part[name], "to_pylist") else part[name].to_list() for name in names]
    rows = tuple(_texts(row) for row in zip(*columns, strict=True))
    return TableLook(tuple(names), tuple(map(str, range(len(rows)))), rows, _parts((len(rows), len(names)), obj.shape))


# --- anything ----------------------------------------------------------------------------------------------------------


def _of_anything(obj: Any) -> TextLook:
    short = reprlib.Repr()
    short.maxlevel, short.maxdict, short.maxlist, short.maxtuple, short.maxset = 4, 12, 20, 20, 20
    short.maxstring = short.maxother = TEXT // 2
    return TextLook(_cut(short.repr(obj), TEXT), "")


def _text(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:.6g}"
    return _cut(str(value), CELL)


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(map(_text, values))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _shape(shape: tuple[int, ...]) -> str:
    return " \N{MULTIPLICATION SIGN} ".join(f"{size:,}" for size in shape)


def _parts(shown: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """How much is shown: "first 10 of 1,000 rows"; ``""`` if all."""
    words = ("rows", "columns")
    said = [
        f"first {part:,} of {whole:,} {word}"
        for part, whole, word in zip(shown, shape, words, strict=False)
        if part < whole
    ]
    return ", ".join(said)
