"""Under a memory limit of the kernel's a put is refused, and nobody is killed; and whose account pays for which page.

A cgroup of version 1 is made where this process may do so; elsewhere these tests are skipped.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
from pathlib import Path

import pytest

from jupyter_shm.testing.private import eventually

ROOT = Path("/sys/fs/cgroup/memory")
MIB = 1 << 20
JOIN = (
    "import os; open({!r}, 'w').write(str(os.getpid())); "
    "import numpy as np; import jupyter_shm as shm; store = shm.connect(capacity={!r})"
)


class Group:
    """A cgroup with a limit on memory."""

    def __init__(self, limit: int | None) -> None:
        self.path = ROOT / f"jupyter-shm-test-{secrets.token_hex(4)}"
        self.path.mkdir()
        if limit is not None:
            (self.path / "memory.limit_in_bytes").write_text(str(limit))

    def prelude(self, capacity: str) -> str:
        return JOIN.format(str(self.path / "cgroup.procs"), capacity)

    @property
    def used(self) -> int:
        return int((self.path / "memory.usage_in_bytes").read_text())

    @property
    def kills(self) -> int:
        """How often the kernel has killed somebody in here."""
        lines = (self.path / "memory.oom_control").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))

    def remove(self) -> None:
        """As soon as everybody in it has ended.  Only what a test has started is in it; what one has left is killed."""

        def is_removed() -> bool:
            with contextlib.suppress(OSError):
                self.path.rmdir()
            return not self.path.exists()

        if not eventually(is_removed, 5):
            left = (self.path / "cgroup.procs").read_text().split()
            for pid in map(int, left):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            assert eventually(is_removed), left


@pytest.fixture
def new_group():
    groups = []

    def make(limit=None):
        try:
            groups.append(Group(limit))
        except OSError as error:
            pytest.skip(f"no cgroup of version 1 can be made here: {error}")
        return groups[-1]

    yield make
    for group in groups:
        group.remove()


@pytest.mark.reserve("0")
def test_a_put_beyond_the_limit_of_the_cgroup_is_refused_and_nobody_is_killed(runtime_folder, new_group, new_peer):
    group = new_group(256 * MIB)
    peer = new_peer(prelude=group.prelude("4GB"), environment={"JUPYTER_SHM_SPILL_DIR": "off"})

    said = peer("""
        said = ""
        for n in range(100):
            try:
                store.put(np.full(16 << 20, n, np.uint8), f"n{n}")
            except shm.errors.StoreFullError as error:
                said = str(error)
                break
        said
    """)

    assert "16.0 MiB" in said, "the limit was never reached"
    assert group.kills == 0
    assert peer("all((store.get(name) == int(name[1:])).all() for name in store.keys())")
    assert peer("len(store) >= 4")
    peer("store.clear()")
    assert peer("store.put(np.full(16 << 20, 7, np.uint8), 'more'); int(store.get('more')[-1])") == 7
    peer("store.shutdown(force=True)")
    peer.close()


def charged(group, before, nbytes):
    """Is about so much more charged to a cgroup?  What Python itself takes and gives back blurs it."""
    return abs(group.used - before - nbytes) < 16 * MIB


def test_the_publisher_pays_for_cold_pages_and_the_store_for_warm_ones(runtime_folder, new_group, new_peer):
    ours, theirs = new_group(), new_group()
    off = {"JUPYTER_SHM_RESERVE": "0"}
    host = new_peer(prelude=ours.prelude("1GB"), environment=off)
    publisher = new_peer(prelude=theirs.prelude("1GB"), environment=off)
    publisher("x = np.ones(64 << 20, np.uint8)")
    host_before, publisher_before = ours.used, theirs.used

    publisher("ref = store.put(x, 'x')")
    assert charged(ours, host_before, 0)
    assert charged(theirs, publisher_before, 64 * MIB)

    host("int(store.get('x').sum())")
    assert charged(ours, host_before, 0)
    publisher("del x, ref")
    publisher.close()
    assert eventually(lambda: charged(theirs, 0, 64 * MIB)), "who is gone pays on"
    host("store.delete('x')")
    assert eventually(lambda: charged(theirs, 0, 0)), "until it is deleted"
    host("store.shutdown(force=True)")
    host.close()


@pytest.mark.reserve("128MiB")
def test_the_reserve_is_charged_to_the_store(runtime_folder, new_group, new_peer):
    ours, theirs = new_group(), new_group()
    host = new_peer(prelude=ours.prelude("1GB"))
    assert eventually(lambda: host("store.stats().reserve") == 128 * MIB)
    publisher = new_peer(prelude=theirs.prelude("1GB"))
    publisher("x = np.ones(64 << 20, np.uint8)")
    before = theirs.used

    publisher("ref = store.put(x, 'x')")

    assert charged(theirs, before, 0)
    assert ours.used > 128 * MIB
    publisher.close()
    host("store.shutdown(force=True)")
    host.close()
