"""``make bench`` works, and says what it promises.  What it measures is not judged here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_benchmark_reports_every_figure_that_has_a_goal():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--tries", "20", "--objects", "1000"],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert not done.returncode, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    assert [row[2].rstrip(" |") for row in rows if row[2].rstrip(" |")] == ["goal", "8 µs", "6 µs", "110 µs"]
    assert len(rows) > 10
