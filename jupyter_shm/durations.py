"""Times as people write and read them.  No I/O here."""

from __future__ import annotations

import math
import re
from datetime import timedelta

from .errors import SettingError

_UNITS = {
    **dict.fromkeys(("d", "day", "days"), 86_400.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("", "s", "sec", "second", "seconds"), 1.0),
}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", re.IGNORECASE)


def parse_duration(value: object, what: str = "a duration") -> float:
    """Read a duration.

    Args:
        value: Seconds, text such as ``"90"``, ``"10m"``, ``"1h30m"`` or ``"2 days"``, or a ``timedelta``.
        what: What the duration is for; the error names it.

    Returns:
        Seconds, above 0 and finite.

    Raises:
        SettingError: It is no duration.
    """
    seconds = _seconds(value)
    if not 0 < seconds < math.inf:
        raise SettingError(
            f"{what} is {value!r:.100}; expected a number of seconds above 0, or text such as '90s', '10m', '1h30m' or '2d'"
        )
    return seconds


def _seconds(value: object) -> float:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, str):
        return _read(value)
    try:
        # Every kind of number, those of numpy too; but True is no time.
        return math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _read(text: str) -> float:
    parts: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            return math.nan
        parts.append((part[1], part[2].lower()))
        at = part.end()
    # A unit may be left out where there is only one number: "1h 30" may be half an hour as well as half a minute.
    if not parts or any(unit not in _UNITS or (not unit and len(parts) > 1) for _, unit in parts):
        return math.nan
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def format_duration(seconds: float) -> str:
    """Show a duration in its two largest units: ``"0.4 s"``, ``"59 s"``, ``"9 min 30 s"``, ``"2 d 3 h"``."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    left = round(seconds)
    shown: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            shown.append(f"{count} {unit}")
        if len(shown) == 2 or (shown and not count):
            break
    return " ".join(shown[:2])
