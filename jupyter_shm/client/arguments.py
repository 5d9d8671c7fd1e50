"""What callers give: keys, deadlines, counts, and what was left out.  No I/O here, but a look at the clock."""

from __future__ import annotations

import time
from typing import Any

from ..errors import InvalidArgumentError, InvalidKeyError
from ..protocol.messages import MAX_COUNT
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


def check_version(newer_than: int | None, refs: int) -> int:
    """The version above which names are waited for; 0 for any.

    Args:
        newer_than: What the caller gave.
        refs: How many references are waited for too.
    """
    if newer_than is None:
        return 0
    if not is_count(newer_than) or not 0 <= newer_than <= MAX_COUNT:
        raise InvalidArgumentError(f"newer_than is the number of a version, got {newer_than!r:.100}")
    if refs:
        raise InvalidArgumentError("newer_than is about names: a reference means one version for ever")
    return newer_than


def deadline_of(timeout: Any) -> float | None:
    """``None``: do not wait; FOREVER; or a time of ``time.monotonic``."""
    if timeout is UNSET:
        return None
    if timeout is None:
        return FOREVER
    if not isinstance(timeout, (int, float)) or timeout != timeout:  # noqa: PLR0124 - a NaN is unlike itself
        raise InvalidArgumentError(f"timeout is a number of seconds, or None to wait for ever; got {timeout!r:.100}")
    return time.monotonic() + max(0.0, timeout)
