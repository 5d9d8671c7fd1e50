"""What a name may be.  No I/O here."""

from __future__ import annotations

from ..errors import InvalidKeyError, InvalidNameError
from .messages import MAX_NAME


def encode_name(name: object) -> bytes:
    """Check a name and give the bytes that the index stores.

    Args:
        name: Any text of 1 to 128 bytes of UTF-8 without NUL.

    Returns:
        The name in UTF-8.

    Raises:
        InvalidKeyError: It is not text.
        InvalidNameError: It is empty, too long, holds a NUL or cannot be encoded.
    """
    if not isinstance(name, str):
        raise InvalidKeyError(f"a name is text (str), got {type(name).__name__}: {name!r:.100}")
    try:
        data = name.encode()
    except UnicodeEncodeError as error:
        raise InvalidNameError(f"the name {name!r:.100} cannot be written as UTF-8: {error.reason}") from error
    if not data:
        raise InvalidNameError("a name must have at least one character; for an object without one, leave `name` out")
    if len(data) > MAX_NAME:
        raise InvalidNameError(
            f"the name {name[:40]!r}... takes {len(data)} bytes of UTF-8; the limit is {MAX_NAME}. Use a shorter one."
        )
    if b"\0" in data:
        raise InvalidNameError(f"the name {name!r} holds a NUL character; leave it out")
    return data
