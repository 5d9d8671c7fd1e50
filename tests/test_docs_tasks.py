"""What docs/tasks.md shows is run, so that it cannot rot."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

TEXT = (Path(__file__).parents[1] / "docs" / "tasks.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def test_the_calls_run_as_they_stand(runtime_folder):
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(BLOCKS)], check=False, capture_output=True, text=True, timeout=50
    )

    assert done.returncode == 0, done.stderr
    assert "499999000000.0 [249999500000.0, 250000000000.0]" in done.stdout
    assert "4/4" in done.stderr
    assert done.stdout.endswith("[11, 12, 13]\n17\n")
