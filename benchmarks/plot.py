"""Time against size of the array, for puts and first gets, as a picture.

``python -m benchmarks.plot RAW.json PICTURE.png``, run in an environment that has matplotlib: the results need none.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("agg")

from matplotlib import pyplot as plt
from matplotlib import ticker
from matplotlib.axes import Axes

from .peers import OTHERS, OURS, US
from .wording import show_seconds, show_size

Series = list[tuple[int, float]]

# No background, and tones halfway between black and white: the picture stands on light pages and on dark ones.
INK = "#808890"
FACE = "none"
COLOURS = {
    US: "#e5484d",
    "ray": "#3b82f6",
    "plasma": "#a855f7",
    "plasmaraw": "#d0a5f5",
    "vineyard": "#16a34a",
    "vineyardraw": "#86cfa0",
    "stdlib": "#b7791f",
    "sharedarray": "#0d9488",
    "npsave": "#db6bb0",
    "joblib": "#8a9a2b",
    "dask": "#ea7317",
    "ipyparallel": "#7c83a8",
}
MARKERS = dict(zip(COLOURS, "osD4^3vP*Xph", strict=True))
PANELS = (("put", "put"), ("get", "first get in another process"))


def series(medians: dict[str, float], what: str) -> Series:
    """Sizes and seconds, the smallest first."""
    ending = f" bytes {what}"
    found = ((int(name.removesuffix(ending)), value) for name, value in medians.items() if name.endswith(ending))
    return sorted(found)


def plot(raw: dict[str, Any], path: Path) -> None:
    """Draw what a run has found.

    Args:
        raw: What its JSON file holds.
        path: Of the picture.
    """
    figure, panels = plt.subplots(1, len(PANELS), figsize=(11, 5.2), sharey=True, facecolor=FACE)
    for axes, (what, title) in zip(panels, PANELS, strict=True):
        _draw(axes, raw["medians"], what)
        _dress(axes, title)
    memcpy = series(raw["medians"][US], "memcpy")
    panels[0].plot(*zip(*memcpy, strict=True), color=INK, linestyle="--", linewidth=1.5, label="memcpy, one thread")
    panels[0].set_ylabel("median time", color=INK)
    handles, labels = panels[0].get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="lower center", ncols=4, frameon=False, fontsize=9)
    plt.setp(legend.get_texts(), color=INK)
    figure.tight_layout(rect=(0, 0.02 + 0.036 * -(-len(labels) // 4), 1, 1))
    figure.savefig(path, dpi=130, transparent=True)


def _draw(axes: Axes, medians: dict[str, dict[str, float]], what: str) -> None:
    for kind in (*OTHERS.values(), OURS):
        points = series(medians.get(kind.name, {}), what)
        if points:
            thick = kind.name == US
            axes.plot(
                *zip(*points, strict=True),
                color=COLOURS[kind.name],
                marker=MARKERS[kind.name],
                markersize=6 if thick else 4,
                linewidth=3 if thick else 1.3,
                label=kind.title,
            )


def _dress(axes: Axes, title: str) -> None:
    axes.set(yscale="log", facecolor=FACE)
    axes.set_title(title, color=INK)
    axes.set_xlabel("size of the array", color=INK)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(ticker.FixedLocator([1 << power for power in range(10, 31, 4)]))
    axes.xaxis.set_major_formatter(lambda size, _: show_size(int(size)))
    axes.yaxis.set_major_formatter(lambda seconds, _: show_time(seconds))
    axes.tick_params(which="both", colors=INK)
    axes.grid(color=INK, alpha=0.25, linewidth=0.6)
    for spine in axes.spines.values():
        spine.set_color(INK)


def show_time(seconds: float) -> str:
    """A round time, without the digits that say nothing."""
    text = show_seconds(seconds)
    number, unit = text.split(" ")
    return f"{float(number):g} {unit}"


if __name__ == "__main__":
    plot(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
