"""Sizes as people write and read them.  No I/O here."""

from __future__ import annotations

import re

from .errors import SettingError

_UNITS = {
    "": 1,
    "b": 1,
    **{letter + "b": 1000**power for power, letter in enumerate("kmgt", 1)},
    **{letter + "ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}
_SIZE = r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*"


def parse_size(text: object, what: str = "a size") -> int:
    """Read a size.

    Args:
        text: ``"64MB"`` (10^6 bytes each), ``"64MiB"`` (2^20), ``"1.5 GB"``, or a number of bytes.
        what: What the size is for; the error names it.

    Returns:
        Bytes, at least 1.

    Raises:
        SettingError: It is no size.
    """
    is_text = isinstance(text, (str, int)) and not isinstance(text, bool)
    match = re.fullmatch(_SIZE, str(text), re.IGNORECASE) if is_text else None
    factor = _UNITS.get(match[2].lower()) if match else None
    if match is None or factor is None or float(match[1]) * factor < 1:
        raise SettingError(
            f"{what} is {text!r}; expected a number of bytes above 0, or a number with a unit such as '64MB' "
            "(10^6 bytes each) or '64MiB' (2^20 bytes each)"
        )
    return int(float(match[1]) * factor) if "." in match[1] else int(match[1]) * factor


def format_size(nbytes: int) -> str:
    """Show a size in binary units: ``"312 B"``, ``"1.5 MiB"``, ``"2.0 GiB"``."""
    if abs(nbytes) < 1024:
        return f"{nbytes} B"
    value = float(nbytes)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        value /= 1024
        if abs(value) < 1023.95 or unit == "TiB":
            return f"{value:.1f} {unit}"
    raise AssertionError("unreachable: TiB is the last unit")
