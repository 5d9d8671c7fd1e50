"""What docs/panel.md shows is run; it names every button, sign and state of the page."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HOUSE = Path(__file__).parents[1]
TEXT = (HOUSE / "docs" / "panel.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
VIEW = HOUSE / "labextension" / "src" / "view"


def test_the_calls_run_as_they_stand(runtime_folder):
    code = "\n".join([*BLOCKS, "panel.close()"])

    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=50)

    assert (done.returncode, done.stderr, done.stdout) == (0, "", "x\n")


def test_every_button_of_an_object_is_documented():
    labels = re.findall(r"(?<!\[)\bt\('(\w+…?)'\),\s*t\(", (VIEW / "details.ts").read_text())

    assert {"Copy", "Insert", "Preview", "Pin", "Release", "Delete…"} <= set(labels)
    assert {label for label in labels if not re.search(rf"^\| .*{label}", TEXT, re.MULTILINE)} == set()


def test_every_sign_of_the_timeline_is_documented():
    signs = re.findall(r"\['\w*', '(.)', t\(", (VIEW / "view.ts").read_text())

    assert len(signs) == 4
    assert {sign for sign in signs if sign not in TEXT} == set()
