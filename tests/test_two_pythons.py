"""Kernels of two Python versions share what is in the store."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

OTHER = os.environ.get("JUPYTER_SHM_TEST_OTHER_PYTHON", "")

pytestmark = pytest.mark.skipif(not OTHER, reason="no second Python (3.10 or later) with jupyter_shm was found")


class OtherKernelManager(KernelManager):
    """A kernel of a given interpreter, whatever kernelspecs are installed."""

    python = sys.executable

    @property
    def kernel_spec(self) -> KernelSpec:
        argv = [self.python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="Python", language="python")


def start(python: str) -> tuple[KernelManager, BlockingKernelClient]:
    manager = OtherKernelManager()
    manager.python = python
    manager.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    return manager, client


def run(client: BlockingKernelClient, code: str) -> str:
    """What the code prints; its error, if it fails."""
    said: list[str] = []

    def note(message: dict) -> None:
        content = message["content"]
        said.append(content.get("text") or "\n".join(content.get("traceback", [])))

    client.execute_interactive(code, output_hook=note, timeout=60)
    return "".join(said).strip()


@pytest.fixture
def kernels(runtime_folder: Path) -> Iterator[tuple[BlockingKernelClient, BlockingKernelClient]]:
    """A kernel of this Python, and one of the other."""
    pairs = [start(sys.executable), start(OTHER)]
    for _, client in pairs:
        run(client, "%load_ext jupyter_shm\nimport sys, numpy as np, jupyter_shm as shm")
    yield pairs[0][1], pairs[1][1]
    for manager, client in pairs:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


def test_kernels_of_two_python_versions_share_an_array_in_both_directions(kernels):
    here, there = kernels
    version = "print(sys.version_info[:2])"
    assert run(here, version) != run(there, version)

    run(here, "a = np.arange(1_000_000.0)\n%shm_put a")
    run(there, "%shm_get a\nb = a[::-1].reshape(1000, 1000)\n%shm_put b")

    assert run(there, "print(a.sum(), a.flags.writeable)") == "499999500000.0 False"
    assert run(here, "print(shm.get('b')[0, :3])") == "[999999. 999998. 999997.]"


def test_data_in_containers_crosses_versions(kernels):
    here, there = kernels

    run(here, "shm.put({'x': [1, 2, (3, None)], 'y': np.ones(5), 'z': {1.5, 'text'}}, 'data')")

    assert run(there, "d = shm.get('data'); print(d['x'], d['y'].sum(), len(d['z']))") == "[1, 2, (3, None)] 5.0 2"


def test_a_function_of_a_notebook_is_refused_by_another_version_with_the_reason(kernels):
    here, there = kernels

    run(here, "shm.put(lambda x: x + 1, 'f')")

    assert run(here, "print(shm.get('f')(1))") == "2"
    refusal = run(there, "shm.get('f')")
    assert "PythonMismatchError" in refusal
    assert "need the Python that wrote them" in refusal
