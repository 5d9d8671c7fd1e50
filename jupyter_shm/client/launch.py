"""Find this user's store, or start it: race-free, one per user, machine and name."""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from typing import TYPE_CHECKING

from ..errors import (
    ERRORS,
    PeerRefusedError,
    ShmError,
    StoreConnectionError,
    StoreEndingError,
    StoreStartError,
    StoreUnresponsiveError,
)
from ..linux import packets, process
from ..linux.requirement import require_linux
from ..linux.runtime import StorePaths, store_paths, take_lock
from ..protocol import messages as m
from .connection import greet, set_patience
from .identity import hello

if TYPE_CHECKING:
    from pathlib import Path

START_PATIENCE = 20.0
"""Seconds that a starting store has until it must be ready.  0.1 s is usual; a loaded machine may take long."""

RETRY = 0.01  # seconds between attempts to connect while somebody else is starting the store


def open_store(name: str, capacity: int | None, start: bool = True) -> tuple[socket.socket, m.Welcome, tuple[int, ...]]:
    """Connect to the store of a name, and start it if there is none.

    Args:
        name: Name of the store.
        capacity: Bytes, for a store that has to be started.
        start: False: do not start one.

    Returns:
        Socket, welcome and descriptors, all owned by the caller.

    Raises:
        FileNotFoundError: There is none and none was to be started.
        ShmError: As ``greet``; ``StoreStartError`` when none could be started.
    """
    require_linux()
    paths = store_paths(name)
    deadline = time.monotonic() + START_PATIENCE
    while True:
        sock = connect(paths)
        if sock is None:
            if not start:
                raise FileNotFoundError(f"no store {name!r} is running ({paths.socket})")
            try:
                sock = _start(name, paths, capacity)
            except OSError as error:
                if isinstance(error, ShmError):
                    raise
                raise StoreStartError(
                    f"the store cannot be started: {error}. Look at {paths.socket.parent}."
                ) from error
        try:
            return (sock, *greet(sock, hello()))
        except StoreEndingError as error:
            sock.close()
            if time.monotonic() > deadline:
                raise StoreConnectionError(f"{error}, again and again; its log is {paths.log}") from error
            time.sleep(RETRY)
        except BaseException:
            sock.close()
            raise


def connect(paths: StorePaths) -> socket.socket | None:
    """Connect to a store that runs.

    Returns:
        The socket; ``None`` when nobody listens.

    Raises:
        PeerRefusedError: The listener belongs to another user.
        StoreUnresponsiveError: The listener accepts nobody.
    """
    try:
        sock = packets.connect(paths.address)
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    except TimeoutError as error:
        raise StoreUnresponsiveError(f"{error}. End the store with `jupyter shm stop --force`.") from error
    uid = packets.peer_credentials(sock).uid
    if uid != os.getuid():
        sock.close()
        raise PeerRefusedError(
            f"the store behind {paths.socket} belongs to uid {uid}, and this process is uid {os.getuid()}. "
            "Remove that file, or set JUPYTER_SHM_RUNTIME_DIR to a folder of your own."
        )
    set_patience(sock)
    return sock


def _start(name: str, paths: StorePaths, capacity: int | None) -> socket.socket:
    """Start the store, or wait for whoever is starting it right now."""
    deadline = time.monotonic() + START_PATIENCE
    while time.monotonic() < deadline:
        lock = take_lock(paths.lock, wait=False)
        if lock is not None:
            try:
                # It may have been started between our attempt and the lock; the lock of a running store is taken.
                _spawn(name, paths, capacity, lock, deadline)
            finally:
                os.close(lock)
        sock = connect(paths)
        if sock is not None:
            return sock
        time.sleep(RETRY)
    raise StoreUnresponsiveError(
        f"somebody holds {paths.lock}, but no store has answered at {paths.socket} for {START_PATIENCE:.0f} s. "
        f"Look at {paths.log}, and end that process."
    )


def _spawn(name: str, paths: StorePaths, capacity: int | None, lock: int, deadline: float) -> None:
    told, ready = os.pipe()
    try:
        argv = [sys.executable, "-m", "jupyter_shm.store", "--store", name]
        argv += ["--lock-fd", str(lock), "--ready-fd", str(ready)]
        argv += ["--capacity", str(capacity)] if capacity else []
        try:
            process.detach(argv, log=paths.log, pass_fds=(lock, ready), env=_environment())
        finally:
            os.close(ready)
        answer = _read_all(told, deadline)
    finally:
        os.close(told)
    if answer != b"ready":
        reason, _, text = answer.decode(errors="replace").partition("\n")
        kind = ERRORS.get(reason, StoreStartError)
        if kind is not StoreStartError:
            raise kind(text)  # a setting, or the machine: the sentence says it all
        raise kind(
            f"the store did not start: {text or 'it ended without a word'}. Its log {paths.log} ends with:\n"
            f"{_tail(paths.log)}"
        )


def _read_all(fd: int, deadline: float) -> bytes:
    """Read until the other end is closed, or it says that it is ready."""
    data = b""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while data != b"ready":
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            return data + b"start\nit was not ready in time"
        chunk = os.read(fd, 65536)
        if not chunk:
            break
        data += chunk
    return data


def _environment() -> dict[str, str]:
    """Our environment, and the folder of this package where the new interpreter would not look by itself."""
    import site
    from pathlib import Path

    environment = dict(os.environ)
    package = str(Path(__file__).resolve().parents[2])
    if package not in {*site.getsitepackages(), site.getusersitepackages()}:
        # Behind what is there: it must not shadow anything.
        known = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{known}{os.pathsep}{package}" if known else package
    return environment


def _tail(log: Path, lines: int = 5) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError as error:
        return f"({error})"
