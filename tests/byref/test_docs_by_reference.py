"""What docs/by-reference.md and docs/executor.md show is run, and they tell the limits that the code has."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from jupyter_shm.workers import by_reference, integration, packing

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", ["by-reference.md", "executor.md"])
def test_the_code_runs_as_it_stands(runtime_folder, tmp_path, name):
    (block,) = re.findall(r"^```python\n(.*?)^```", (DOCS / name).read_text(), re.MULTILINE | re.DOTALL)
    script = tmp_path / "script.py"
    script.write_text(block.replace("10_000_000", "1_000_000"))

    done = subprocess.run([sys.executable, str(script)], check=False, capture_output=True, text=True, timeout=50)

    assert (done.returncode, done.stderr) == (0, "")


def test_every_library_and_every_limit_is_told():
    text = (DOCS / "by-reference.md").read_text()

    assert [name for name in integration.LIBRARIES if f'| `"{name}"` |' not in text] == []
    assert f"{by_reference.SMALLEST >> 10} KiB" in text
    assert by_reference.KEEP == 600
    assert f"{packing.LARGE >> 10} KiB" in (DOCS / "executor.md").read_text()
