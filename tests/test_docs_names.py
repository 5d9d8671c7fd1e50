"""What docs/names.md shows is run, so that it cannot rot; and it names every kind of event and every term."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from jupyter_shm.client import events
from jupyter_shm.store import history

TEXT = (Path(__file__).parents[1] / "docs" / "names.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def test_the_calls_run_as_they_stand(runtime_folder):
    code = "\n".join([*BLOCKS, "store.close()"])

    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=50)

    assert (done.returncode, done.stderr) == (0, "")
    assert "publish short 1" in done.stdout
    assert "unpin kept 1" in done.stdout


def test_every_kind_of_event_is_documented():
    kinds = {value for name, value in vars(history).items() if name.isupper() and isinstance(value, str)}
    kinds |= {events.LOST, events.RESTART}

    assert {kind for kind in kinds if f"`{kind}`" not in TEXT} == set()
