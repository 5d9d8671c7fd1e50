"""``make bench`` works, and says what it promises.  What it measures is not judged here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

ALONE = [  # goals that no peer is needed for: the beginning of each
    "first put of 256 MB",
    "steady put of 256 MB",
    "first sum of 256 MB",
    "put of 1 KB under a name: at most one bare round trip",
    "get again: at most 1 µs",
    "get with 100,000 objects",
    "Pool.map over 100 slices",
    "tasks that do nothing: at least 0.8 of loky's",
    "one that is waited for",
    "a task's array of 64 MB",
    "import",
    "connect to a running store",
    "start of a store",
]


def bench(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the benchmark, quickly."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", *map(str, arguments)],
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_the_benchmark_reports_every_figure_that_has_a_goal(tmp_path):
    done = bench("--results", tmp_path, PEERS="none")

    assert not done.returncode, done.stderr
    assert "not measured:" not in done.stdout
    goals = section(done.stdout, "Goals")
    measured = [cells[0] for cells in goals if cells[2] != "not measured"]
    assert len(measured) == len(ALONE)
    assert all(text.startswith(start) for text, start in zip(measured, ALONE, strict=True))
    for title in ("Measured", "Several clients at once", "Number of objects in the store", "Size of the array"):
        rows = section(done.stdout, title)
        assert rows
        assert all(cells[2] not in ("", "\N{EN DASH}") for cells in rows), f"a row without our figure under {title}"


@pytest.mark.slow
def test_a_run_leaves_its_table_and_its_raw_medians_behind_also_when_a_peer_cannot_be_installed(tmp_path):
    cache, folder = tmp_path / "cache", tmp_path / "results"

    done = bench("--peers", "stdlib", "--results", folder, BENCH_CACHE=str(cache), PIP_NO_INDEX="1", PIP_FIND_LINKS="")

    assert not done.returncode, done.stderr
    assert "multiprocessing.shared_memory: not measured: cannot be installed: " in done.stdout
    assert (folder / "latest.md").read_text().strip() == done.stdout.strip()
    raw = json.loads((folder / "latest.json").read_text())
    assert raw["medians"]["us"]["get again 1 KB"] > 0
    assert raw["medians"]["stdlib"] == {}
    assert raw["machine"]["kernel"]
    assert len(list(folder.glob("2*.json"))) == 1


def test_a_peer_that_does_not_exist_is_refused_with_the_names_of_those_that_do():
    done = bench(PEERS="numpy")

    assert done.returncode == 2
    assert "no peer is called numpy; there are ray, plasma" in done.stderr


def section(text: str, title: str) -> list[list[str]]:
    """The rows of the table under a heading, without its head."""
    lines = text.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return rows[2:]
