"""The first bytes of every object in the heap: whose bytes it contains besides its own.  No I/O here.

::

    0     8 bytes   magic
    8     4 bytes   n, how many objects are contained
    12    4 bytes   m, bytes of the description behind the list
    16    8 n       ids of the contained objects
    16+8n m         the description (serial/meta.py; the store never reads it)

The data starts at the next multiple of 64 bytes.  The list is plain binary, so that the store can validate it at
commit, and read it again, without decoding anything else.
"""

from __future__ import annotations

import struct

from ..errors import ProtocolError

PREFIX_MAGIC = b"JSHMOBJ1"
_HEAD = struct.Struct("<8sII")
HEAD_SIZE = _HEAD.size
ALIGN = 64  # bytes: cache line, and the widest vector register


def pack_prefix(contained: tuple[int, ...], description: bytes) -> bytes:
    """Build the start of an object: prefix and description, padded so that data can follow.

    Args:
        contained: Ids of other objects whose bytes this one refers to.
        description: What the client needs to rebuild the object.

    Returns:
        Bytes whose length is a multiple of 64.
    """
    head = _HEAD.pack(PREFIX_MAGIC, len(contained), len(description))
    data = head + struct.pack(f"<{len(contained)}Q", *contained) + description
    return data + bytes(-len(data) % ALIGN)


def read_head(data: bytes | memoryview, nbytes: int) -> tuple[int, int]:
    """Read the counts of a prefix.

    Args:
        data: At least the first 16 bytes of the object.
        nbytes: Size of the whole object: what the prefix announces has to fit.

    Returns:
        ``(contained objects, bytes of the description)``.

    Raises:
        ProtocolError: ``bad-header``.
    """
    if len(data) < HEAD_SIZE:
        raise ProtocolError(f"an object of {len(data)} bytes has no header ({HEAD_SIZE} bytes)", reason="bad-header")
    magic, count, description = _HEAD.unpack_from(data)
    if magic != PREFIX_MAGIC:
        raise ProtocolError(f"an object starts with {magic!r}, not with {PREFIX_MAGIC!r}", reason="bad-header")
    if HEAD_SIZE + 8 * count + description > nbytes:
        raise ProtocolError(
            f"an object of {nbytes} bytes announces {count} contained objects and {description} bytes of description",
            reason="bad-header",
        )
    return count, description


def read_contained(data: bytes | memoryview, count: int) -> tuple[int, ...]:
    """Read the list of contained ids; ``data`` starts with the object's first byte and holds the whole list."""
    return struct.unpack_from(f"<{count}Q", data, HEAD_SIZE)


def data_start(count: int, description: int) -> int:
    """Where the data of an object starts, in bytes from its first byte."""
    end = HEAD_SIZE + 8 * count + description
    return end + -end % ALIGN
