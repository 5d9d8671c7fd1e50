"""Figures as people read them.  Pure."""

from __future__ import annotations

from .arrays import GB, KB, MB

TIMES = "\N{MULTIPLICATION SIGN}"
DASH = "\N{EN DASH}"


def show_seconds(value: float) -> str:
    """Three digits, in the unit that fits."""
    for factor, unit in ((1e6, "µs"), (1e3, "ms"), (1, "s")):
        if value * factor < 1000 or unit == "s":
            digits = 2 if value * factor < 10 else 1 if value * factor < 100 else 0
            return f"{value * factor:.{digits}f} {unit}"
    raise AssertionError(value)


def show_rate(value: float) -> str:
    """A number in a second."""
    return f"{value:,.0f}/s"


def show_bytes(value: float) -> str:
    """In megabytes of 2^20."""
    return f"{value / MB:,.1f} MB"


def show_ratio(value: float) -> str:
    """Two or three digits."""
    return f"{value:.2f}{TIMES}" if value < 10 else f"{value:,.0f}{TIMES}"


def show_size(nbytes: int) -> str:
    """As people say it."""
    for unit, name in ((GB, "GB"), (MB, "MB"), (KB, "KB")):
        if nbytes >= unit:
            return f"{nbytes // unit} {name}"
    return f"{nbytes} B"
