"""Host processes as the harness sees them: started, asked with a time limit, and ended with all that they started.

Everything that a session starts inherits a mark in its environment, and every segment that it makes bears the mark in
its name: so that nothing is left over, whatever fails.
"""

from __future__ import annotations

import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .peers import Kind
from .venvs import ROOT, interpreter

MARK = "BENCH_MARK"

GRACE = 5.0
"""Seconds that processes have to end by themselves, and then after SIGTERM."""

sessions = itertools.count()


class PeerError(Exception):
    """A peer that did not do what it was asked to; the text says why, in one line."""


class Host:
    """One process that can be asked to do something with its peer.

    Args:
        kind: Which peer.
        folder: Of the session.
        environment: Of the process.
    """

    def __init__(self, kind: Kind, folder: Path, environment: dict[str, str]) -> None:
        self._title = kind.title
        self._log = folder / "log"
        command = [str(interpreter(kind)), "-m", "benchmarks.host", kind.name, str(folder)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # a Ctrl-C is the harness's, which ends all in order
            )
        self._unread = b""
        self.pid = self._process.pid

    def ask(self, task: str, timeout: float = 60.0, **arguments: Any) -> Any:
        """Have one task done.

        Args:
            task: Its name in ``host.TASKS``.
            timeout: Seconds that it may take.
            arguments: Of the task.

        Raises:
            PeerError: It failed, died, or took too long.
        """
        self.tell(task, **arguments)
        return self.answer(timeout)

    def tell(self, task: str, **arguments: Any) -> None:
        """Begin one task; ``answer`` has to follow."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # that it died is found out when it does not answer
            self._process.stdin.write(json.dumps({"task": task, **arguments}).encode() + b"\n")
            self._process.stdin.flush()

    def answer(self, timeout: float) -> Any:
        """Wait for the end of the task that was begun."""
        answer = json.loads(self._line(time.monotonic() + timeout, timeout))
        if "error" in answer:
            raise PeerError(answer["error"].strip().splitlines()[0][:200])
        return answer["result"]

    def _line(self, deadline: float, timeout: float) -> bytes:
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        while b"\n" not in self._unread:
            if not select.select([pipe], [], [], max(deadline - time.monotonic(), 0))[0]:
                raise PeerError(f"did not answer within {timeout:.0f} s")
            got = os.read(pipe, 1 << 20)
            if not got:
                raise PeerError(f"a process of it ended with {self._process.wait()}: {self._last_words()}")
            self._unread += got
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else "it said nothing"

    def end(self) -> None:
        """No more requests: it ends by itself, or by force."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Session:
    """One peer, just started: a first process, and as many others as are wanted.

    Args:
        kind: Which peer.
        folder: For its files.
        environment: Of all its processes.
    """

    def __init__(self, kind: Kind, folder: Path, environment: dict[str, str]) -> None:
        self.kind = kind
        self._folder = folder
        self._environment = environment
        self.hosts: list[Host] = []
        self.join_seconds: list[float] = []

    def start(self, capacity: int) -> None:
        """Start the first process, and whatever the peer needs."""
        self.publisher = self._host()
        started = self.publisher.ask("start", timeout=120, capacity=capacity)
        self._address = started["address"]
        self.start_seconds: float = started["start"]
        self.versions: dict[str, str] = started["versions"]

    def reader(self) -> Host:
        """Another process, connected."""
        host = self._host()
        self.join_seconds.append(host.ask("join", address=self._address))
        return host

    def _host(self) -> Host:
        host = Host(self.kind, self._folder, self._environment)
        self.hosts.append(host)
        return host

    def leave(self, host: Host) -> None:
        """End one of the others."""
        self.hosts.remove(host)
        host.end()


@contextmanager
def session(kind: Kind, capacity: int, **settings: str) -> Iterator[Session]:
    """Start a peer, and leave nothing of it behind.

    Args:
        kind: Which.
        capacity: Bytes that it has to hold at most.
        settings: Further environment variables.

    Raises:
        PeerError: It did not start.
        UnavailableError: It cannot be installed.
    """
    mark = f"bench-{os.getpid()}-{next(sessions)}"
    # Directly under /tmp: the path of a Unix socket holds 107 bytes, and some peers add long names of their own.
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir="/tmp"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER_SHM_", "RAY_"))}
    environment |= {MARK: mark, "TMPDIR": str(folder), **settings}
    one = Session(kind, folder, environment)
    try:
        one.start(capacity)
        yield one
        with suppress(PeerError):
            one.publisher.ask("stop", timeout=30)
    finally:
        for host in reversed(one.hosts):
            host.end()
        end_all(mark)
        for leftover in Path("/dev/shm").glob(f"*{mark}-*"):
            leftover.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def end_all(mark: str) -> None:
    """End every process that a session has left, by its process id."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in marked(mark):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + GRACE
        while marked(mark) and time.monotonic() < deadline:
            time.sleep(0.02)


def marked(mark: str) -> list[int]:
    """Processes that bear a session's mark in their environment."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def pss(pid: int) -> int:
    """Bytes of memory that a process accounts for, shared pages divided by the number of those who share them."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) << 10
    raise PeerError(f"/proc/{pid}/smaps_rollup has no line Pss")
