from __future__ import annotations

import platform
from pathlib import Path

import pytest
from children import run

from jupyter_shm.linux import barrier, libc

LINUX = tuple(map(int, platform.release().split(".")[:2]))
NUMBERED = platform.machine() in libc.SYS_MEMBARRIER


def full_speed_cores() -> bool:
    try:
        return Path("/sys/devices/system/cpu/nohz_full").read_text().strip() not in ("", "(null)")
    except OSError:
        return False


@pytest.mark.skipif(not NUMBERED or LINUX < (4, 16), reason="this kernel or machine has no membarrier")
def test_registering_and_the_expedited_barrier_work():
    assert barrier.register_membarrier() is True
    assert barrier.membarrier_expedited() is True


@pytest.mark.skipif(not NUMBERED or LINUX < (4, 16) or full_speed_cores(), reason="no membarrier for all cores here")
def test_the_global_barrier_works():
    assert barrier.membarrier() is True


@pytest.mark.skipif(not NUMBERED or LINUX < (6, 3), reason="registrations can be asked for since Linux 6.3")
def test_a_fork_inherits_the_registration():
    code = """
        import os
        from jupyter_shm.linux import barrier, libc
        registrations = 512
        print(libc.membarrier(registrations), flush=True)
        barrier.register_membarrier()
        if os.fork() == 0:
            print(libc.membarrier(registrations), flush=True)
            os._exit(0)
        os.wait()
    """

    assert run(code) == (0, "0\n4")


def test_a_machine_without_a_number_has_no_barrier(monkeypatch):
    monkeypatch.setattr(libc, "SYS_MEMBARRIER", {})

    assert barrier.membarrier() is False
    assert barrier.membarrier_expedited() is False
    assert barrier.register_membarrier() is False


def test_a_command_the_kernel_does_not_know_is_false():
    assert barrier._issue(1 << 30) is False
