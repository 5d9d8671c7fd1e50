"""The meta of a stored object: what it is, what made it, and where its parts lie.  No I/O here.

It is encoded as one msgpack array.  A newer release may append fields; an older one then ignores them.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from ..errors import DeserializeError

NDARRAY = "ndarray"  # one part: the elements in the order of `array.order`
PICKLE = "pickle"  # part 0 is the pickle stream, the others are its out-of-band buffers in order

FORWARD = "forward"  # part 0 is the id, a word, of the object that it stands for, and contains
FAILURE = (
    "failure"  # part 0 is text; part 1, if there is one, the pickle stream of an exception, the others its buffers
)


class ArraySpec(msgspec.Struct, array_like=True, frozen=True):
    """How the bytes of an ndarray are to be read.

    Attributes:
        descr: The dtype, as ``dtypes.dtype_from`` understands it.
        order: "C" or "F".
    """

    descr: str
    order: str


class Meta(msgspec.Struct, array_like=True, frozen=True):
    """Everything about a stored object except its bytes, and what its slot of the index says.

    Nothing in it differs between two arrays of one kind: it is decoded once for all of them.

    Attributes:
        kind: ``NDARRAY``, ``PICKLE``, ``FORWARD`` or ``FAILURE``.
        type: Qualified name for people, "numpy.ndarray".
        shape: Of anything that has one; None otherwise.
        dtype: For people; None when there is none.
        nbytes: Bytes of all parts together, without padding between them.
        array: Only of ``NDARRAY``.
        python: (major, minor) of the publisher's Python.
        cloudpickle: Version of the publisher's cloudpickle; "" where it took no part.
        by_value: Functions or classes were pickled as code, which only the same Python minor version can read.
        parts: (source, offset, nbytes) for each part.  Source 0 is this object's own extent and the offset counts
            from its data start; source k > 0 is the k-th contained object and the offset is absolute in the heap.
    """

    kind: str
    type: str
    shape: tuple[int, ...] | None
    dtype: str | None
    nbytes: int
    array: ArraySpec | None
    python: tuple[int, int]
    cloudpickle: str
    by_value: bool
    parts: tuple[tuple[int, int, int], ...]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Meta)
_decoded = lru_cache(256)(_decoder.decode)

REMEMBERED_SIZE = 512
"""Bytes of a meta up to which it is remembered: those of arrays, and of objects with a few buffers."""


def encode_meta(meta: Meta) -> bytes:
    """Return the bytes that ``decode_meta`` reads."""
    return _encoder.encode(meta)


def decode_meta(data: bytes | bytearray | memoryview) -> Meta:
    """Read a meta; the same one again costs a look.

    Args:
        data: What ``encode_meta`` returned, of this or of a newer release; it is not kept, but for a copy.

    Returns:
        The meta, with trailing fields of a newer release left out.

    Raises:
        DeserializeError: The bytes are no meta.
    """
    try:
        return _decoded(bytes(data)) if len(data) <= REMEMBERED_SIZE else _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise DeserializeError(
            f"the meta of this object ({len(data)} bytes) cannot be read: {error}. "
            "It was written by an incompatible release of jupyter_shm, or the store is damaged: publish it again."
        ) from error
