"""What every message of the control socket is, and what its fields may hold.  No I/O here."""

from __future__ import annotations

from typing import Annotated

import msgspec

MAX_COUNT = (1 << 63) - 1

Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
"""A number that fits a word of the index.  A packet with any other is malformed."""


class Message(msgspec.Struct, frozen=True, array_like=True, tag_field="kind"):
    """A message of the control socket; array-like, because a field's name need not travel with every packet."""
