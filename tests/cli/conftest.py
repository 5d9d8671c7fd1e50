"""What the tests of the command line share: running it, and a store that speaks another wire version."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import CLI

from jupyter_shm.client.store import Store

FOREIGN = """
import fcntl, os, signal, socket, sys, time
from pathlib import Path
from jupyter_shm.protocol.wire import MAGIC, PREAMBLE

folder, manner = Path(sys.argv[1]), sys.argv[2]
lock = open(folder / "default.lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
# Tidying up takes its time, and whoever asked for the end has to wait for it.
tidy_up = signal.SIG_IGN if "stubborn" in manner else lambda *_: (time.sleep(0.3), os._exit(7))
signal.signal(signal.SIGTERM, tidy_up)
listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listener.bind(str(folder / "default.sock"))
listener.listen()
print("ready", flush=True)
kept = []
while True:
    kept.append(listener.accept()[0])
    # Who only looks who listens says nothing.
    if "silent" not in manner and kept[-1].recv(65536):
        kept[-1].send(PREAMBLE.pack(MAGIC, 99) + b"the running store (jupyter_shm 9.9, pid 1)")
"""
"""A store of wire version 99; ``silent`` never answers, ``stubborn`` does not end on SIGTERM, else it exits with 7."""


@pytest.fixture
def cli(runtime_folder: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``jupyter shm`` with these words, against the stores of this test."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*CLI, *words], capture_output=True, text=True, timeout=50, check=False)

    return run


@pytest.fixture
def store(runtime_folder: Path) -> Iterator[Store]:
    """A connection to a store that ends with the test."""
    with Store(capacity="64MiB") as connected:
        yield connected


@pytest.fixture
def foreign(runtime_folder: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start something else at the place of the default store."""
    started = []

    def start(manner: str = "") -> subprocess.Popen[str]:
        command = [sys.executable, "-c", FOREIGN, str(runtime_folder), manner]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout.readline() == "ready\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
