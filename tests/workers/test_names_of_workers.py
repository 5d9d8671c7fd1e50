"""Workers leave no name in /dev/shm, whoever is killed together with whom."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

from jupyter_shm.testing.private import eventually

PROGRAM = """
import os, time
import jupyter_shm as shm

@shm.remote
class One:
    def pid(self):
        return os.getpid()

shm.init(workers=2)
one = One.remote()
print(len({shm.get(one.pid.remote()), *shm.get([shm.remote(os.getpid).remote() for _ in range(40)])}), flush=True)
time.sleep(60)
"""


def names_of(pid: int) -> list[str]:
    """What a process has made in /dev/shm."""
    return [path.name for path in Path("/dev/shm").glob(f"sem.loky-{pid}-*")]


def test_workers_that_run_have_no_names_and_so_a_killed_group_leaves_none(runtime_folder):
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() in {b"2", b"3"}
        assert eventually(lambda: not names_of(process.pid))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()

    assert not names_of(process.pid)
