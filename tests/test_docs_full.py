"""What docs/full.md shows is run, so that it cannot rot."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

TEXT = (Path(__file__).parents[1] / "docs" / "full.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def test_a_store_is_filled_as_it_says(runtime_folder):
    code = "\n".join([*BLOCKS, "del views", "store.close()"])

    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=50)

    assert (done.returncode, done.stderr) == (0, "")
    spilled, text, holders = done.stdout.splitlines()
    assert spilled.endswith("on disk, spilled")
    assert text.startswith("cannot put 'more': 30.5 MiB are needed")
    assert "more" not in holders
