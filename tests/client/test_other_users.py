"""One user's store is closed to others: by the folder's mode, by its owner, and by the kernel's word on the peer.

The other user's processes are forks of this one that give up root: their interpreter may lie where they cannot read.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jupyter_shm.client import launch
from jupyter_shm.errors import PeerRefusedError, ShmError
from jupyter_shm.linux import packets, runtime
from jupyter_shm.store import __main__ as store_program

NOBODY = 65534

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user as well")


def as_nobody(run: Callable[[], int]) -> int:
    """Fork; the child gives up root and ends with what ``run`` returns.  Its pid."""
    pid = os.fork()
    if not pid:
        status = 70
        try:
            os.chdir("/")
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            status = run()
        finally:
            os._exit(status)
    return pid


@pytest.fixture
def store_of_nobody(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The socket of a store that another user runs in a folder of their own."""
    folder = Path(tempfile.mkdtemp(prefix="shm-", dir="/tmp"))
    os.chown(folder, NOBODY, NOBODY)
    monkeypatch.setenv("JUPYTER_SHM_RUNTIME_DIR", str(folder))
    told, ready = os.pipe()

    def serve() -> int:
        lock = runtime.take_lock(runtime.store_paths("default").lock, wait=False)
        return store_program.main(["--store", "default", "--lock-fd", str(lock), "--ready-fd", str(ready)])

    pid = as_nobody(serve)
    os.close(ready)
    try:
        assert os.read(told, 1000) == b"ready"
        yield folder / "default.sock"
    finally:
        os.close(told)
        os.kill(pid, signal.SIGTERM)
        assert os.waitpid(pid, 0)[1] == 0
        shutil.rmtree(folder)


def test_the_store_hangs_up_on_a_peer_of_another_uid(store_of_nobody):
    with packets.connect(store_of_nobody) as sock:
        assert packets.receive(sock) == packets.END


def test_a_client_does_not_use_a_folder_of_another_user(store_of_nobody):
    with pytest.raises(PeerRefusedError, match=str(NOBODY)):
        runtime.store_paths("default")


def test_a_client_does_not_talk_to_a_store_of_another_user(store_of_nobody):
    paths = runtime.StorePaths(str(store_of_nobody.parent), store_of_nobody.stem)

    with pytest.raises(PeerRefusedError, match=str(NOBODY)):
        launch.connect(paths)


def test_another_user_is_told_that_the_folder_is_not_theirs(runtime_folder):
    def connect() -> int:
        try:
            launch.open_store("default", None)
        except ShmError as error:
            return 42 if error.reason == "peer-refused" else 1
        return 0

    assert os.waitstatus_to_exitcode(os.waitpid(as_nobody(connect), 0)[1]) == 42
