"""Other processes for the tests of the client: each runs the code that it is told, and answers.

``Peer`` is a process of its own that stays until it is closed or killed; ``forked`` is a child of the test's process.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jupyter_shm.client.store import Store
from jupyter_shm.testing.private import eventually

ROOT = Path(__file__).parents[2]
LOOP = Path(__file__).with_name("peer_loop.py")
SECONDS = 50.0
"""How long an answer may take before the test fails; spent only then.  Less than faulthandler's minute, so that the
test says which answer it was."""

CONNECT = "import os; import numpy as np; import jupyter_shm as shm; store = shm.connect()"


class PeerError(Exception):
    """What the code of a peer raised: ``kind`` is the class's name."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind
        self.text = text


class Peer:
    """A process that runs code line by line.

    Args:
        prelude: Run first; connected as ``store`` if left out.
        environment: Added to ours.
        wait: Wait until the prelude has run.
        pass_fds: Descriptors that it inherits under the same numbers.
    """

    def __init__(
        self,
        prelude: str = CONNECT,
        environment: dict[str, str] | None = None,
        wait: bool = True,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(LOOP)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=tuple(pass_fds),
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
        )
        self.pid = self.process.pid
        self._unread = b""
        self.send(prelude)
        if wait:
            try:
                self.answer()
            except BaseException:
                self.kill()
                raise

    def __call__(self, code: str) -> Any:
        """Run code; the value of its last line, if that is an expression."""
        self.send(code)
        return self.answer()

    def send(self, code: str) -> None:
        """Let code run, without waiting for it."""
        self.process.stdin.write(json.dumps(textwrap.dedent(code).strip()).encode() + b"\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        """What the oldest code that was sent gave."""
        is_value, answer = pickle.loads(bytes.fromhex(self._line().decode()))
        if is_value:
            return answer
        raise PeerError(*answer)

    def _line(self) -> bytes:
        poll = select.poll()
        poll.register(self.process.stdout, select.POLLIN)
        while b"\n" not in self._unread:
            assert poll.poll(SECONDS * 1000), f"pid {self.pid} has not answered for {SECONDS:g} s"
            chunk = os.read(self.process.stdout.fileno(), 1 << 16)
            if not chunk:
                raise PeerError("Died", f"exit status {self.process.wait(SECONDS)}")
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> int:
        """SIGKILL, and wait: nothing of it runs on."""
        self.process.kill()
        return self.close()

    def close(self) -> int:
        """Let it end by itself; its exit status."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            return self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.process.stdout.close()


class Forked:
    """A forked child of this process that runs one function and sends back what it returns.

    Args:
        function: Runs in the child; what it returns or raises is pickled.
    """

    def __init__(self, function: Callable[[], Any]) -> None:
        self._read, write = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(write)
            return
        try:
            with contextlib.suppress(BaseException):
                os.close(self._read)
                os.write(write, pickle.dumps(_outcome(function)))
        finally:
            # Neither pytest nor any exit hook of it must run in here.
            os._exit(0)

    def result(self) -> Any:
        """Wait for its end."""
        with os.fdopen(self._read, "rb") as pipe:
            data = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        if not data:
            raise PeerError("Died", f"exit status {status}")
        is_value, answer = pickle.loads(data)
        if is_value:
            return answer
        raise PeerError(*answer)


def forked(function: Callable[[], Any]) -> Any:
    """Run a function in a forked child; what it returned."""
    return Forked(function).result()


def _outcome(function: Callable[[], Any]) -> tuple[bool, Any]:
    import traceback

    try:
        return True, function()
    except BaseException as error:
        return False, (type(error).__name__, f"{error}\n{traceback.format_exc()}")


def run(code: str, *arguments: str, environment: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Run a process to its end: exit status (a signal's number negative), stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
    )
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def kill_store(pid: int) -> None:
    """SIGKILL a store, and wait until it is gone."""
    handle = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGKILL)
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        assert poll.poll(SECONDS * 1000), f"the store {pid} survived SIGKILL"
    finally:
        os.close(handle)


def kill_store_and_keeper(pid: int) -> None:
    """SIGKILL a store and its keeper at once: all that they held is lost."""
    keeper = parent_of(pid)
    assert Path(f"/proc/{keeper}/comm").read_text() == "shm-keeper\n"
    os.kill(keeper, signal.SIGKILL)
    kill_store(pid)
    # Reaped by whoever is its parent; its descriptors are closed before.
    deadline = time.monotonic() + SECONDS
    while is_alive(keeper):
        assert time.monotonic() < deadline, f"the keeper {keeper} survived SIGKILL"


def parent_of(pid: int) -> int:
    """The process that has started this one."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


PAGE = 4096  # bytes: what a nursery and the objects that were cut out of it may share, at each end of either

GIVE_NURSERY_BACK = "store._session.cutter.let_go()"


def is_nothing_reserved(store: Store, *peers: Callable[[str], Any], but: int = 0) -> bool:
    """Is all that is reserved a nursery of one of these, who have one for their next puts?

    They give them back, and then nothing may be left: no put that failed has kept its extent.

    Args:
        store: Of this process; no thread of it puts.
        peers: All others that are connected, and have nothing to do.
        but: Bytes that somebody has reserved on purpose.
    """
    store._session.cutter.let_go()
    for peer in peers:
        peer(GIVE_NURSERY_BACK)
    return eventually(lambda: store.stats().reserved == but)


def heap_bytes(store_pid: int) -> int:
    """Memory that the heap of a store takes, whoever holds it."""
    for link in Path(f"/proc/{store_pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if "jupyter-shm-heap" in str(link.readlink()):
                return link.stat().st_blocks * 512
    raise AssertionError(f"pid {store_pid} has no heap open")


def spill_bytes(store_pid: int) -> int:
    """Disk that the spill heap of a store takes, whoever holds it; 0 where there is none."""
    return spill_heap(store_pid)[1]


def spill_heap(store_pid: int) -> tuple[str, int]:
    """Where the spill heap of a store is, ``""`` for nowhere, and the disk that it takes, whoever holds it."""
    for link in Path(f"/proc/{store_pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            target = str(link.readlink())
            if target.endswith(" (deleted)") and not target.startswith("/memfd:"):
                return target, link.stat().st_blocks * 512
    return "", 0
