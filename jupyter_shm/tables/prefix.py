"""The first bytes of every object in the heap: whose bytes it contains besides its own, and who put it.  No I/O here.

::

    0       8 bytes   magic
    8       4 bytes   n, how many objects are contained
    12      4 bytes   m, bytes of the description
    16      4 bytes   l, bytes of the label
    20      4 bytes   zero
    24      8 n       ids of the contained objects
    24+8n   l         the publisher's label: text for people, UTF-8
    ...     m         the description (serial/meta.py; the store never reads it)

The data starts at the next multiple of 64 bytes.  List and label are plain binary, so that the store can validate
the list at commit, and read both again, without decoding anything else.
"""

from __future__ import annotations

import struct

from ..errors import ProtocolError

PREFIX_MAGIC = b"JSHMOBJ2"
_HEAD = struct.Struct("<8sIII4x")
HEAD_SIZE = _HEAD.size
ALIGN = 64  # bytes: cache line, and the widest vector register
MAX_LABEL = 256  # bytes of UTF-8


def pack_prefix(contained: tuple[int, ...], description: bytes, label: str = "") -> bytes:
    """Build the start of an object: prefix and description, padded so that data can follow.

    Args:
        contained: Ids of other objects whose bytes this one refers to.
        description: What the client needs to rebuild the object.
        label: Who the publisher is, for people; what is beyond ``MAX_LABEL`` bytes is left out.

    Returns:
        Bytes whose length is a multiple of 64.
    """
    text = label.encode(errors="replace")
    if len(text) > MAX_LABEL:
        text = text[:MAX_LABEL].decode(errors="ignore").encode()  # no half a character
    head = _HEAD.pack(PREFIX_MAGIC, len(contained), len(description), len(text))
    data = head + struct.pack(f"<{len(contained)}Q", *contained) + text + description
    return data + bytes(-len(data) % ALIGN)


def read_head(data: bytes | memoryview, nbytes: int) -> tuple[int, int, int]:
    """Read the counts of a prefix.

    Args:
        data: At least the first ``HEAD_SIZE`` bytes of the object.
        nbytes: Size of the whole object: what the prefix announces has to fit.

    Returns:
        ``(contained objects, bytes of the description, bytes of the label)``.

    Raises:
        ProtocolError: ``bad-header``.
    """
    if len(data) < HEAD_SIZE:
        raise ProtocolError(f"an object of {len(data)} bytes has no header ({HEAD_SIZE} bytes)", reason="bad-header")
    magic, count, description, label = _HEAD.unpack_from(data)
    if magic != PREFIX_MAGIC:
        raise ProtocolError(f"an object starts with {magic!r}, not with {PREFIX_MAGIC!r}", reason="bad-header")
    if label > MAX_LABEL or HEAD_SIZE + 8 * count + label + description > nbytes:
        raise ProtocolError(
            f"an object of {nbytes} bytes announces {count} contained objects, {description} bytes of description and "
            f"{label} bytes of label (at most {MAX_LABEL})",
            reason="bad-header",
        )
    return count, description, label


def read_contained(data: bytes | memoryview, count: int) -> tuple[int, ...]:
    """Read the list of contained ids; ``data`` starts with the object's first byte and holds the whole list."""
    return struct.unpack_from(f"<{count}Q", data, HEAD_SIZE)


def read_label(data: bytes | memoryview, count: int, label: int) -> str:
    """Read who the publisher is.

    Args:
        data: Starts with the object's first byte and holds the whole label.
        count: Contained objects, as ``read_head`` says.
        label: Bytes of the label, as ``read_head`` says.

    Returns:
        The label.  What is no UTF-8 in it is replaced: it is written by clients, and only shown.
    """
    begin = HEAD_SIZE + 8 * count
    return bytes(data[begin : begin + label]).decode(errors="replace")


def find_description(data: bytes | memoryview, nbytes: int) -> tuple[int, int, int]:
    """Find the description of an object.

    Args:
        data: At least the first ``HEAD_SIZE`` bytes of the object.
        nbytes: Size of the whole object.

    Returns:
        Start and end of the description, and start of the data, in bytes from the object's first byte.

    Raises:
        ProtocolError: ``bad-header``.
    """
    count, description, label = read_head(data, nbytes)
    begin = HEAD_SIZE + 8 * count + label
    end = begin + description
    return begin, end, end + -end % ALIGN


def description_start(count: int, label: int) -> int:
    """Where the description of an object starts, in bytes from its first byte."""
    return HEAD_SIZE + 8 * count + label


def data_start(count: int, description: int, label: int = 0) -> int:
    """Where the data of an object starts, in bytes from its first byte."""
    end = HEAD_SIZE + 8 * count + label + description
    return end + -end % ALIGN
