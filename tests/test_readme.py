"""What README.md shows is run, line by line, so that it cannot rot."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SETTINGS = (ROOT / "docs" / "settings.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
PUBLISH, FETCH, MODULE = (text for language, text in BLOCKS if language == "python")
(COMMANDS,) = (text for language, text in BLOCKS if language == "sh")


def run(code: str, *interpreter: str) -> str:
    done = subprocess.run(
        [*interpreter, "-c", code], check=False, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
    )
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout


def test_the_first_screen_has_exactly_the_two_set_up_commands():
    commands = [line.partition("#")[0].split() for line in COMMANDS.splitlines()]

    assert commands == [["make", "demo"], ["make", "test"]]


@pytest.mark.parametrize("verb", ["demo", "test"])
def test_make_knows_the_verb(verb):
    verbs = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout

    assert f"make {verb} " in verbs


def test_the_cells_run_as_they_stand_in_one_notebook_after_the_other(runtime_folder):
    ipython = (sys.executable, "-m", "IPython", "--colors=NoColor", "--no-banner", "--no-confirm-exit")

    data = "import numpy as np; df = {'x': np.arange(100.0)}; arr = df['x']"
    made = run(f"{data}\n{PUBLISH}", *ipython)
    got = run(f"{FETCH}\narr[0] = 9; print(df['x'].sum(), arr[0], df['x'].flags.writeable)", *ipython)

    assert "df" in made
    assert "4950.0 9.0 False" in got
    assert "arr is a private copy-on-write copy" in got


def test_the_calls_run_as_they_stand(runtime_folder):
    said = run(
        f"import numpy as np; array = np.arange(4.0)\n{MODULE}\nprint(view.sum(), len(shm.list()))", sys.executable
    )

    assert said.strip() == "6.0 0"


def test_every_cli_verb_that_is_named_exists():
    sentence = next(line for line in README.splitlines() if line.startswith("`jupyter shm ls`"))

    for verb in re.findall(r"`(?:jupyter shm )?(\w+)`", sentence):
        run(
            f"import sys; sys.argv = ['jupyter-shm', {verb!r}, '--help']\nfrom jupyter_shm.cli import main; main()",
            sys.executable,
        )


def test_every_setting_is_documented_and_every_documented_setting_exists():
    documented = set(re.findall(r"`(JUPYTER_SHM_\w+)`", SETTINGS))
    used = {
        name
        for path in (ROOT / "jupyter_shm").rglob("*.py")
        for name in re.findall(r'"(JUPYTER_SHM_[A-Z_]+)"', path.read_text())
        if not name.startswith("JUPYTER_SHM_TEST_")  # for this project's own tests: CONTRIBUTING.md
    }

    assert documented == used


def test_every_file_that_is_linked_exists():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_magics_that_are_named_exist(runtime_folder):
    names = set(re.findall(r"%(shm_\w+)", README))
    code = "%load_ext jupyter_shm\nprint(*get_ipython().magics_manager.magics.values())"

    known = run(code, sys.executable, "-m", "IPython", "--colors=NoColor", "--no-banner")

    assert all(repr(name) in known for name in names), names


def test_the_cell_on_workers_runs_as_it_stands(runtime_folder):
    (line,) = re.findall(r"`%%(shm_run [^`]+)`", README)
    cell = (
        f"get_ipython().run_cell_magic({line.split(maxsplit=1)[0]!r}, {line.split(maxsplit=1)[1]!r}, 'b = a[worker]')"
    )

    said = run(
        f"%load_ext jupyter_shm\na = [1, 2, 3, 4]\n{cell}\nprint(b)", sys.executable, "-m", "IPython", "--no-banner"
    )

    assert "[1, 2, 3, 4]" in said
