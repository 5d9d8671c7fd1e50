"""What callers give: keys, deadlines, counts, and what was left out.  No I/O here, but a look at the clock."""

from __future__ import annotations

import time
from typing import Any

from ..errors import InvalidArgumentError, InvalidKeyError
from ..protocol.names import encode_name
from .connection import FOREVER
from .refs import ObjectRef


class Unset:
    """Tells an argument that was left out from ``None``."""

    def __repr__(self) -> str:
        return "..."


UNSET: Any = Unset()


def is_count(value: object) -> bool:
    """Is this a whole number?"""
    return isinstance(value, int)


def check_key(key: Any) -> bytes | None:
    """The name's bytes; ``None`` for an ObjectRef."""
    if isinstance(key, str):
        return encode_name(key)
    if isinstance(key, ObjectRef):
        return None
    raise InvalidKeyError(f"a key is a name (str) or an ObjectRef, got {type(key).__name__}: {key!r:.100}")


def deadline_of(timeout: Any) -> float | None:
    """``None``: do not wait; FOREVER; or a time of ``time.monotonic``."""
    if timeout is UNSET:
        return None
    if timeout is None:
        return FOREVER
    if not isinstance(timeout, (int, float)) or timeout != timeout:  # noqa: PLR0124 - a NaN is unlike itself
        raise InvalidArgumentError(f"timeout is a number of seconds, or None to wait for ever; got {timeout!r:.100}")
    return time.monotonic() + max(0.0, timeout)
