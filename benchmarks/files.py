"""A run's files: the table, the raw medians, and the plot; the newest also under fixed names."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from .peers import PLOTTER
from .run import Results, say
from .venvs import ROOT, UnavailableError, interpreter

PATIENCE = 120.0
"""Seconds that drawing may take: the first time matplotlib looks for fonts."""


def write(folder: Path, stamp: str, text: str, results: Results, facts: dict[str, str], is_drawn: bool) -> list[Path]:
    """Keep one run.

    Args:
        folder: Where; made if need be.
        stamp: What its files are called.
        text: The Markdown.
        results: The figures.
        facts: Of the machine.
        is_drawn: Is a plot wanted?

    Returns:
        The files, those that are always called the same included.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in (stamp, "latest"):
        raw, picture, table = (folder / f"{name}.{ending}" for ending in ("json", "png", "md"))
        raw.write_text(json.dumps(_raw(results, facts), indent=1, ensure_ascii=False) + "\n")
        picture.unlink(missing_ok=True)
        if is_drawn:
            _draw(raw, picture)
        shown = f"\n![time against size of the array]({picture.name})\n" if picture.exists() else ""
        table.write_text(text + shown)
        written += [path for path in (table, raw, picture) if path.exists()]
    return written


def _raw(results: Results, facts: dict[str, str]) -> dict[str, object]:
    return {
        "machine": facts,
        "versions": results.versions,
        "medians": results.figures,
        "not measured": results.reasons,
        "seconds": results.seconds,
    }


def _draw(raw: Path, picture: Path) -> None:
    """The plot is an ornament: without it the results are whole."""
    try:
        command = [str(interpreter(PLOTTER)), "-m", "benchmarks.plot", str(raw.resolve()), str(picture.resolve())]
        subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    except (UnavailableError, OSError, subprocess.SubprocessError) as error:
        say(f"no plot: {getattr(error, 'stderr', None) or error}")
