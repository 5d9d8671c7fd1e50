"""From meta and parts back to the object.  No I/O here; the parts' memory belongs to whoever made them.

Objects are built over the parts.  Each array made here holds the ndarray at the root of its part, so the
root lives exactly as long as something still looks at the bytes.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from ..errors import DeserializeError, PythonMismatchError
from .dtypes import dtype_from
from .meta import FAILURE, FORWARD, NDARRAY, PICKLE, ArraySpec, Meta

Part: TypeAlias = "memoryview | np.ndarray[Any, Any]"
"""One part's bytes: one-dimensional uint8.  What is built over it is writable exactly when it is."""


class Forwarded(Exception):  # noqa: N818 - it says where to go on
    """The object stands for another one.  Never leaves the package.

    Attributes:
        id: Of that one.
    """

    def __init__(self, id: int) -> None:
        super().__init__(id)
        self.id = id


def unpack(meta: Meta, parts: Sequence[Part], publisher: str = "") -> Any:
    """Build the object over the parts, copying nothing that is large.

    Args:
        meta: Of the object.
        parts: One for each entry of ``meta.parts``.  They are held for as long as the object uses them.
        publisher: Who that is, for people; only needed where ``meta.by_value``.

    Returns:
        The object.  Its arrays are read-only where their part is; arrays of less than
        ``pickler.MIN_OUT_OF_BAND`` bytes inside an object are private and writable.

    Raises:
        PythonMismatchError: The object holds code of another Python minor version.
        DeserializeError: The object cannot be rebuilt here; the text says what is missing.
        Forwarded: It stands for another one.
        Exception: It stands for this one.
    """
    if meta.kind == NDARRAY:
        return _array(meta, parts)
    if meta.kind == PICKLE:
        return _load(meta, parts, publisher)
    if meta.kind in {FORWARD, FAILURE} and parts:
        from .outcome import outcome

        raise outcome(meta, parts)
    raise DeserializeError(
        f"this {meta.type} was stored in the form {meta.kind!r}, which this release of jupyter_shm does not know. "
        "Upgrade jupyter_shm in this kernel to the publisher's release."
    )


def copy_out(meta: Meta, parts: Sequence[Part], publisher: str = "") -> Any:
    """Build an ordinary private object: writable, and sharing nothing with the parts.

    Args:
        meta: Of the object.
        parts: One for each entry of ``meta.parts``; they may go as soon as this returns.
        publisher: As for ``unpack``.

    Returns:
        The object; arrays keep their order.

    Raises:
        PythonMismatchError: The object holds code of another Python minor version.
        DeserializeError: The object cannot be rebuilt here; the text says what is missing.
    """
    if meta.kind == PICKLE:
        # Part 0 is read once and nothing of it is kept.
        copies = (np.array(part, dtype=np.uint8) for part in parts[1:])
        return unpack(meta, [*parts[:1], *copies], publisher)
    # The copy of the array, not an array over copied bytes: it then owns its memory and can be resized.
    return unpack(meta, parts, publisher).copy(order="K")


def _array(meta: Meta, parts: Sequence[Part]) -> np.ndarray[Any, Any]:
    try:
        return _over(meta, *parts)
    except (TypeError, ValueError, OverflowError) as error:
        sizes = [part.nbytes for part in parts]
        raise DeserializeError(
            f"the stored array of shape {meta.shape} and dtype {meta.dtype} does not fit its parts of {sizes} bytes: "
            f"{error}. Publish it again."
        ) from error


def _over(meta: Meta, part: Part) -> np.ndarray[Any, Any]:
    spec, shape = meta.array, meta.shape
    if spec is None or shape is None:
        raise ValueError("its dtype or shape is missing")
    # numpy makes the root of the part the base, also of 0-d and empty arrays: the root outlives every view.
    array: np.ndarray[Any, Any] = np.ndarray(shape, dtype_from(spec.descr), buffer=part, order=_order(spec))
    if array.shape != shape or array.nbytes != part.nbytes:  # numpy takes a size of -1 to mean "what fits"
        raise ValueError(f"it would have shape {array.shape} and {array.nbytes} bytes")
    return array


def _order(spec: ArraySpec) -> Literal["C", "F"]:
    if spec.order not in {"C", "F"}:
        raise ValueError(f"its order is {spec.order!r}")
    return "F" if spec.order == "F" else "C"


def _load(meta: Meta, parts: Sequence[Part], publisher: str) -> Any:
    here = sys.version_info[:2]
    if meta.by_value and tuple(meta.python) != here:
        raise PythonMismatchError(
            f"this {meta.type} holds functions or classes that {publisher or 'its publisher'} defined in a "
            f"notebook under Python {_dotted(meta.python)}; this is Python {_dotted(here)}. Functions and classes "
            "pickled by value need the Python that wrote them: read it there, or move them to a module that both import."
        )
    try:
        stream: Any = parts[0]
        return pickle.loads(stream, buffers=parts[1:])
    except MemoryError:
        raise
    except Exception as error:
        raise DeserializeError(f"cannot rebuild this {meta.type}: {_reason(meta, error)}") from error


def _reason(meta: Meta, error: Exception) -> str:
    from .pickler import VERSION  # only for who needs it

    origin = f"It was published under Python {_dotted(meta.python)} with cloudpickle {meta.cloudpickle}"
    here = f"this is Python {_dotted(sys.version_info[:2])} with cloudpickle {VERSION}"
    if isinstance(error, ModuleNotFoundError):
        return f"the module {error.name!r} is missing here. Install it in this kernel's environment. {origin}; {here}."
    if isinstance(error, (AttributeError, ImportError)):
        return f"{error}. Bring that module here to the version that the publisher has. {origin}; {here}."
    return f"{type(error).__name__}: {error}. {origin}; {here}: the same versions of its packages can read it."


def _dotted(version: Sequence[int]) -> str:
    return ".".join(map(str, version))
