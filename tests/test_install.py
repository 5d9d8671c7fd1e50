"""``pip install .`` gives a working package, without Node.js, with what it needs and no more, and both extensions."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAM = """
import sys, numpy as np, jupyter_shm as shm
store = shm.connect()
store.put(np.arange(10.0), "a")
print(store.get("a").sum(), sorted({"pandas", "pyarrow", "IPython", "ipywidgets"} & set(sys.modules)))
store.shutdown()
"""


@pytest.fixture(scope="module")
def clean_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with nothing but this package and what it asks for, where no Node.js is found."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    environment = {**os.environ, "PATH": "/usr/sbin:/sbin", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", str(ROOT)],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert not done.returncode, done.stdout + done.stderr
    return python


@pytest.mark.slow
def test_a_clean_environment_without_node_can_put_and_get(clean_python, runtime_folder, tmp_path):
    done = subprocess.run(
        [clean_python, "-c", PROGRAM], check=False, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )

    assert done.stdout == "45.0 []\n", done.stderr
    assert not done.stderr


@pytest.mark.slow
def test_the_command_is_found_by_jupyter(clean_python, runtime_folder, tmp_path):
    bin = clean_python.parent
    done = subprocess.run(
        [bin / "jupyter", "shm", "ls"],
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{bin}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert "no store 'default' is running" in done.stderr, (done.stdout, done.stderr, sys.version)


@pytest.mark.slow
def test_both_extensions_are_there_as_soon_as_it_is_installed(clean_python, tmp_path):
    install = [clean_python, "-m", "pip", "install", "--quiet", "jupyterlab>=4,<5"]
    subprocess.run(install, check=True, capture_output=True, timeout=600)

    def listed(*words: str) -> str:
        command = [clean_python.parent / "jupyter", *words]
        environment = {**os.environ, "PATH": f"{clean_python.parent}:/usr/sbin:/sbin", "NO_COLOR": "1"}
        done = subprocess.run(
            command, check=True, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        return re.sub(r"\x1b\[\d+m", "", done.stdout + done.stderr)

    import jupyter_shm

    version = jupyter_shm.__version__
    assert f"jupyter_shm {version} OK" in listed("server", "extension", "list")
    assert f"jupyter-shm v{version} enabled OK (python, jupyter_shm)" in listed("labextension", "list")
    widget = "import jupyter_shm.panel as panel, pathlib; print((pathlib.Path(panel.__file__).parent / 'static/widget.js').exists())"
    done = subprocess.run([clean_python, "-c", widget], check=True, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "True\n"
