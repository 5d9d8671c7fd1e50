"""cloudpickle with out-of-band buffers, and the answer to "was code pickled by value?".  No I/O here.

Arrays inside an object are handed out as buffers by our own reduction, not numpy's, for three reasons.
numpy puts datetime64 and non-contiguous arrays into the stream, where nothing can be shared.  It flattens a
non-contiguous array into a temporary copy, while here the writer copies it straight to its place.  And it marks
the buffer of a read-only array as read-only for ever, so that a private copy of such an array (every array that came
out of the store is one) would refuse to be written.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping
from pickle import PickleBuffer
from types import CodeType, FunctionType
from typing import Any, Protocol, TypeAlias

import cloudpickle  # type: ignore[import-untyped]
import numpy as np

from .buffers import Buffer, flat
from .dtypes import plain

Reducers: TypeAlias = Mapping[type, Callable[[Any], tuple[Any, ...]]]
"""By type, how an instance is taken apart, as ``object.__reduce__`` does."""

PROTOCOL = 5

VERSION: str = cloudpickle.__version__
"""Of what pickles here; whoever cannot read the stream is told."""

MIN_OUT_OF_BAND = 64  # bytes
"""Smaller buffers stay in the stream.

Speed does not ask for it: with 100 arrays in a list, out of band won at every size (64 bytes: put 2.7 against 3.0 us
an array, get 0.5 against 0.9; 64 KiB: put 5 against 20, get 0.8 against 24).  Room does: a part starts on a 64-byte
boundary, so below that size the padding outweighs the content.  And a view of a part keeps the whole object in the
store, which nobody expects of one number.  Not larger, because arrays in the stream come back writable and those
out of band do not, and people should meet one rule.
"""


class Sink(Protocol):
    """Where a pickle stream goes."""

    def write(self, data: bytes, /) -> object:
        """Take the next bytes of the stream."""


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickle one object; what is large goes to ``buffers``.

    Args:
        file: Takes the stream.
        own: By type, what ``reducer_override`` is to return for instances of it, and of no type derived from it.

    Attributes:
        buffers: The out-of-band buffers, in the order in which ``pickle.loads`` wants them.
        by_value: Code of a function or class went into the stream.
    """

    def __init__(self, file: Sink, own: Reducers | None = None) -> None:
        # A callback of our own would be a reference cycle, and hold the buffers until somebody collects garbage.
        self._sorter = _Sorter()
        super().__init__(file, protocol=PROTOCOL, buffer_callback=self._sorter.keep_small_in_band)
        self.buffers = self._sorter.buffers
        self.by_value = False
        self._own = own or {}

    def reducer_override(self, obj: Any) -> Any:
        """Called by pickle for every object that is no basic type."""
        if type(obj) is np.ndarray:
            return self._reduce_array(obj)
        if isinstance(obj, io.TextIOWrapper):
            _refuse_open_file(obj)
        own = self._own.get(type(obj))
        if own is not None:
            return own(obj)
        reduced = super().reducer_override(obj)
        if not self.by_value:
            self.by_value = isinstance(obj, CodeType) or _carries_definition(obj, reduced)
        return reduced

    def _reduce_array(self, array: np.ndarray[Any, Any]) -> Any:
        small = array.nbytes < MIN_OUT_OF_BAND
        if plain(array.dtype) is None or (small and array.flags.writeable):
            return NotImplemented
        buffer, order = flat(array)
        content: Any = bytearray(array.tobytes(order)) if small else self._sorter.stand_in(buffer)
        return np.ndarray, (array.shape, array.dtype, content, 0, None, order)


class _Sorter:
    """Tells buffers that stay in the stream from those that leave it."""

    def __init__(self) -> None:
        self.buffers: list[Buffer] = []
        self._stand_ins: dict[int, tuple[PickleBuffer, Buffer]] = {}

    def stand_in(self, buffer: Buffer) -> PickleBuffer:
        """What to show to pickle in place of a buffer that leaves the stream."""
        # pickle reads of an out-of-band buffer only whether it is writable; the bytes are those that we list.
        stand_in = PickleBuffer(bytearray())
        self._stand_ins[id(stand_in)] = (stand_in, buffer)
        return stand_in

    def keep_small_in_band(self, buffer: PickleBuffer) -> bool:
        """Called by pickle for every buffer that an object offers: does it stay in the stream?"""
        known = self._stand_ins.pop(id(buffer), None)
        if known is not None:
            self.buffers.append(known[1])
            return False
        raw = buffer.raw()
        if raw.nbytes < MIN_OUT_OF_BAND:
            return True
        self.buffers.append(raw)
        return False


def _carries_definition(obj: Any, reduced: Any) -> bool:
    # cloudpickle rebuilds a function or class in six pieces; for those that it imports by name it gives
    # NotImplemented, and two pieces for a few built-in types.
    return isinstance(obj, (type, FunctionType)) and reduced is not NotImplemented and len(reduced) > 2


def _refuse_open_file(file: io.TextIOWrapper) -> None:
    # cloudpickle would store the text of a file that is open for reading, and give back a StringIO.
    # The output streams pass: it stores them by name.
    if file is not sys.stdout and file is not sys.stderr:
        name = getattr(file, "name", None)
        raise TypeError(f"cannot pickle an open file ({name!r}); store its path or its content")
