"""From an object to its buffers.  Nothing is copied and nothing is written: that is the caller's work."""

from __future__ import annotations

import io
import sys
from operator import index
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ..errors import UnpicklableError
from .buffers import Buffer, flat
from .dtypes import MAX_TEXT, PlainDtype, plain
from .meta import NDARRAY, PICKLE, ArraySpec

if TYPE_CHECKING:
    from .pickler import Reducers

__all__ = ["Buffer", "Packed", "pack", "type_name"]


class Packed(msgspec.Struct):
    """An object ready to be written.

    Attributes:
        kind: ``meta.NDARRAY`` or ``meta.PICKLE``.
        type: Qualified name for people.
        shape: None when the object has none.
        dtype: For people.
        array: Only of ``NDARRAY``.
        cloudpickle: Version of what pickled it; "" of ``NDARRAY``.
        by_value: Code of functions or classes is in the stream.
        buffers: In the order of ``Meta.parts``.  They keep the object's memory alive and still belong to it: a
            change made to the object before they are copied is copied too.
    """

    kind: str
    type: str
    shape: tuple[int, ...] | None
    dtype: str | None
    array: ArraySpec | None
    cloudpickle: str
    by_value: bool
    buffers: list[Buffer]

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers, without padding between them."""
        return sum(buffer.nbytes for buffer in self.buffers)


def pack(obj: object, own: Reducers | None = None) -> Packed:
    """Describe an object and list its buffers.

    Args:
        obj: Anything that cloudpickle can pickle.  A plain ndarray goes without pickle.
        own: By type, how objects of ours are taken apart inside of it.

    Returns:
        The description; large buffers in it are the object's own memory, not copies.

    Raises:
        UnpicklableError: The text names the path to what cannot be pickled.
        MemoryError: There was no room for the pickle stream.
    """
    if type(obj) is np.ndarray:
        dtype = plain(obj.dtype)
        if dtype is not None:
            return _pack_array(obj, dtype)
    return _pack_pickle(obj, own)


def type_name(kind: type) -> str:
    """Name a type as its users write it: "numpy.ndarray", "pandas.DataFrame", "dict"."""
    module, name = str(kind.__module__), kind.__qualname__
    if module == "builtins":
        return name
    top = module.partition(".")[0]
    package = sys.modules.get(top)
    # Many packages show at their top what a private module defines.  vars(), because a lazy package would import.
    shown = package is not None and vars(package).get(name) is kind
    return f"{top if shown else module}.{name}"


def _pack_array(array: np.ndarray[Any, Any], dtype: PlainDtype) -> Packed:
    buffer, order = flat(array)
    spec = ArraySpec(dtype.descr, order)
    return Packed(NDARRAY, "numpy.ndarray", array.shape, dtype.text, spec, "", False, [buffer])


def _pack_pickle(obj: object, own: Reducers | None) -> Packed:
    # Here, because it takes as long to import as all the rest of the client, and plain arrays do without.
    from .pickler import VERSION, Pickler

    stream = io.BytesIO()
    pickler = Pickler(stream, own)
    try:
        pickler.dump(obj)
    except MemoryError:
        raise
    except Exception as error:
        name = type_name(type(obj))
        from .culprit import explain  # only for who needs it

        raise UnpicklableError(f"cannot store this {name}: {explain(obj, error)}. Nothing was stored.") from error
    shape, dtype = _looks(obj)
    buffers = [memoryview(stream.getvalue()), *pickler.buffers]
    return Packed(PICKLE, type_name(type(obj)), shape, dtype, None, VERSION, pickler.by_value, buffers)


def _looks(obj: object) -> tuple[tuple[int, ...] | None, str | None]:
    # Only what people are shown: a property that fails or gives nonsense must not make a put fail.
    try:
        shape = obj.shape  # type: ignore[attr-defined]
        sizes = tuple(index(size) for size in shape) if isinstance(shape, tuple) else None
    except Exception:
        return None, None
    if sizes is None:
        return None, None
    try:
        dtype = getattr(obj, "dtype", None)
        return sizes, None if dtype is None else str(dtype)[:MAX_TEXT]
    except Exception:
        return sizes, None
