"""What the project promises about itself: its metadata, its documents, its tools and the cost of importing it."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from jupyter_shm import errors

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HOUSE = Path(__file__).resolve().parent.parent
PACKAGE = HOUSE / "jupyter_shm"
PROJECT = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]


def in_a_child(code: str) -> object:
    """Run code in a fresh interpreter and return the JSON that it prints."""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")
    return json.loads(answer.stdout)


# --- Metadata ---------------------------------------------------------------------------------------------------------


def test_the_version_is_the_same_wherever_it_is_told():
    import jupyter_shm

    assert jupyter_shm.__version__ == PROJECT["version"]


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").is_file()


NOT_IMPORTED = {
    "ipykernel": "the magics and the main job run in its kernels, which are programs of their own",
    "ipywidgets": "what anywidget is made of; a release of 8.1 or later is wanted",
    "psutil": "loky ends what a worker has started with it, when it ends the worker",
}
"""Dependencies that no file of ours imports, each with the reason why it is one all the same."""

IMPORT_NAMES = {"ipython": "IPython"}
"""Where a distribution's import name is not its own."""


def import_names(requirements: list[str]) -> set[str]:
    """What the required distributions are imported as."""
    names = {canonicalize_name(Requirement(text).name) for text in requirements}
    return {IMPORT_NAMES.get(name, name.replace("-", "_")) for name in names}


def third_party_imports() -> set[str]:
    """Top-level modules that the package imports and that neither it nor Python provides."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".", maxsplit=1)[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.split(".", maxsplit=1)[0])
    return found - set(sys.stdlib_module_names) - {"jupyter_shm"}


def test_everything_that_is_imported_is_required():
    extras = [name for key, names in PROJECT["optional-dependencies"].items() if key != "test" for name in names]

    assert third_party_imports() <= import_names(PROJECT["dependencies"] + extras)


def test_everything_that_is_required_is_imported_or_explained():
    assert import_names(PROJECT["dependencies"]) - third_party_imports() == set(NOT_IMPORTED)


# --- Importing --------------------------------------------------------------------------------------------------------


OURS_FOR_FEW = {
    f"jupyter_shm.{name}"
    for name in (
        "client.info",
        "extension",
        "magics",
        "panel",
        "store",
        "workers",
        "cli",
        "testing",
        "serial.culprit",
        "serial.pickler",
        "linux.machine",
    )
}


def test_importing_the_package_imports_nothing_heavy():
    loaded = in_a_child("import json, sys, jupyter_shm; print(json.dumps(sorted(sys.modules)))")

    heavy = {"IPython", "ipykernel", "ipywidgets", "anywidget", "pandas", "pyarrow", "asyncio", "rich", "traitlets"}
    seldom = {"subprocess", "difflib", "shutil", "html", "argparse", "multiprocessing", "cloudpickle", "dataclasses"}
    assert (heavy | seldom | OURS_FOR_FEW) & set(loaded) == set()


def test_importing_the_package_brings_from_outside_only_what_each_call_needs():
    loaded = in_a_child(
        "import json, sys, numpy; before = {*sys.modules}; import jupyter_shm\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in {*sys.modules} - before})))"
    )

    # typing_extensions: what msgspec takes where it is installed.
    assert set(loaded) - sys.stdlib_module_names - {"typing_extensions"} == {"jupyter_shm", "msgspec"}


def test_after_an_import_the_first_call_has_nothing_left_to_import():
    more = in_a_child(
        "import json, sys, jupyter_shm as shm; before = {*sys.modules}\n"
        "shm.connect, shm.put, shm.get, shm.Store, shm.ObjectRef\n"
        "print(json.dumps(sorted({*sys.modules} - before)))"
    )

    assert more == []


def test_neither_connecting_to_a_running_store_nor_the_first_array_imports_anything(private_store):
    more = in_a_child(
        "import json, sys, numpy as np, jupyter_shm as shm; before = {*sys.modules}\n"
        "with shm.connect() as store:\n"
        "    store.put(np.arange(9), 'x'), store.get('x').sum(), store.put(np.arange(9)), store.put(np.arange(1e6), 'y')\n"
        "print(json.dumps(sorted({*sys.modules} - before)))"
    )

    assert more == []


def test_every_public_name_can_be_had_and_is_listed():
    listed, missing = in_a_child(
        "import json, jupyter_shm as shm\n"
        "missing = [name for name in shm.__all__ if not hasattr(shm, name)]\n"
        "print(json.dumps([sorted(set(shm.__all__) - set(dir(shm))), missing]))"
    )

    assert (listed, missing) == ([], [])


def test_importing_the_store_imports_neither_numpy_nor_cloudpickle():
    names = sorted(f"jupyter_shm.store.{path.stem}" for path in (PACKAGE / "store").glob("[!_]*.py"))
    # What ``python -m`` sets while it looks for the module that it is to run.
    loaded = in_a_child(
        f"import json, sys; sys.argv = ['-m']; import {', '.join(names)}; print(json.dumps(sorted(sys.modules)))"
    )

    assert {"numpy", "cloudpickle", "IPython", "asyncio", "jupyter_shm.client", "jupyter_shm.serial"}.isdisjoint(loaded)


def test_the_store_as_it_is_started_imports_neither_numpy_nor_cloudpickle():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "jupyter_shm.store", "--help"],
        check=True,
        cwd=HOUSE,
        capture_output=True,
        text=True,
        timeout=60,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}

    assert "jupyter_shm.store.daemon" in loaded
    assert {"numpy", "cloudpickle", "jupyter_shm.client", "jupyter_shm.serial"}.isdisjoint(loaded)


# --- Documents --------------------------------------------------------------------------------------------------------


def table_of_errors() -> dict[str, str]:
    """The class of each reason as docs/errors.md tells it."""
    rows = re.findall(
        r"^\| `([\w-]+)` \| `(\w+)` \| \S.* \| \S.* \|$", (HOUSE / "docs/errors.md").read_text(), re.MULTILINE
    )
    assert len(rows) == len(dict(rows)), "a reason has two rows"
    return dict(rows)


def test_every_reason_is_documented_with_its_class():
    raised = {reason: type(errors.error_from(reason, "")).__name__ for reason in errors.REASON_CODES}

    assert table_of_errors() == raised


def test_contributing_names_every_floor():
    text = (HOUSE / "CONTRIBUTING.md").read_text()
    floors = {f"`{path.name}/`" for path in PACKAGE.iterdir() if path.is_dir() and list(path.glob("*.py"))}

    assert [floor for floor in sorted(floors) if floor not in text] == []


def test_contributing_names_every_verb_of_the_makefile():
    verbs = re.findall(r"^([a-z-]+):.*## ", (HOUSE / "Makefile").read_text(), re.MULTILINE)
    text = (HOUSE / "CONTRIBUTING.md").read_text()

    assert len(verbs) > 10
    assert [verb for verb in verbs if f"`make {verb}`" not in text] == []


# Put together here, so that this file does not find itself.
MACHINE = re.compile(
    r"(?<![\w.~$}])/(?:root|work|home/\w+|Users/\w+)/"
    r"|--?(?:extra-)?index" + r"-url|find" + r"-links|trusted" + r"-host|\.pyenv/versions/\d"
)


def own_files() -> list[Path]:
    """The files under version control, and those that are about to be; every file where git is not to be had."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=HOUSE, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        return [path for path in HOUSE.rglob("*") if path.is_file() and ".venv" not in str(path)]
    return [path for name in listed.split("\0") if name and (path := HOUSE / name).is_file()]


def test_no_file_knows_the_machine_that_it_was_written_on():
    found = [
        f"{path.relative_to(HOUSE)}:{number}: {line.strip()}"
        for path in own_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1)
        if MACHINE.search(line)
    ]

    assert found == []


@pytest.mark.parametrize("line", ["cd /ho" + "me/me/x", "'/ro" + "ot/x'", "pip --index" + "-url=x", "(/wo" + "rk/x)"])
def test_a_machine_in_a_line_is_found(line: str):
    assert MACHINE.search(line)


@pytest.mark.parametrize("line", ["https://example.org/home/page/", "/dev/shm/x"])
def test_a_line_without_a_machine_is_left_alone(line: str):
    assert not MACHINE.search(line)


# --- tools/interpreters.py --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def interpreters():
    spec = importlib.util.spec_from_file_location("interpreters", HOUSE / "tools" / "interpreters.py")
    module = sys.modules["interpreters"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["interpreters"]


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_running_interpreter_is_found(interpreters):
    found = interpreters.find([])

    assert [one.version for one in found] == [sys.version_info[:2]]
    assert Path(found[0].executable).samefile(Path(sys.executable).resolve())


@pytest.mark.parametrize(
    "text",
    [
        "echo 'pyenv: python3.99: command not found' >&2; exit 127",
        "exit 0",
        "echo garbage",
        """echo '[true, [3, 9], "/usr/bin/python3.9"]'""",
        """echo '[false, [3, 99], "/usr/bin/pypy"]'""",
        "kill -9 $$",
    ],
    ids=["shim", "silent", "garbage", "too-old", "no-final-cpython", "dies"],
)
def test_what_does_not_answer_as_an_interpreter_is_left_out(interpreters, tmp_path: Path, text: str):
    assert interpreters.probe(script(tmp_path / "python3.99", text)) is None


def test_an_interpreter_that_hangs_is_left_out(interpreters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(interpreters, "PROBE_SECONDS", 0.1)

    assert interpreters.probe(script(tmp_path / "python3.99", "exec sleep 60")) is None


def test_one_interpreter_of_each_version_is_found_the_first_folder_before_the_second(interpreters, tmp_path: Path):
    answer = "echo '[true, [3, {}], \"{}\"]'"
    script(tmp_path / "one" / "python3.98", answer.format(98, "first"))
    script(tmp_path / "two" / "python3.98", answer.format(98, "second"))
    script(tmp_path / "two" / "python3", answer.format(99, "third"))
    script(tmp_path / "two" / "python3-config", answer.format(97, "no interpreter"))

    found = interpreters.find([tmp_path / "one", tmp_path / "missing", tmp_path / "two"])

    assert [str(one) for one in found[1:]] == ["3.98 first", "3.99 third"]


def test_the_second_interpreter_is_the_oldest_of_another_version(interpreters):
    found = [interpreters.Interpreter((3, minor), f"python3.{minor}") for minor in (10, 11, 12)]

    assert interpreters.other(found, (3, 12)).executable == "python3.10"
    assert interpreters.other(found, (3, 10)).executable == "python3.11"
    assert interpreters.other(found[:1], (3, 10)) is None


def test_interpreters_are_looked_for_on_path_first_then_in_pyenv(interpreters, tmp_path: Path):
    (tmp_path / "versions" / "3.99.0" / "bin").mkdir(parents=True)

    path = interpreters.search_path({"PATH": f"/a{os.pathsep}/b", "PYENV_ROOT": str(tmp_path)})

    assert path[:3] == [Path("/a"), Path("/b"), tmp_path / "versions" / "3.99.0" / "bin"]


def test_the_tool_and_the_metadata_agree_on_the_oldest_python(interpreters):
    major, minor = interpreters.OLDEST

    assert PROJECT["requires-python"] == f">={major}.{minor}"
