"""Clients that may die: processes that are forked ready to go, and do as they are told.

They are forked from a process that has imported everything already, so one costs milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from peers import ROOT, SECONDS, PeerError

import jupyter_shm as shm
from jupyter_shm.client.store import Store
from jupyter_shm.protocol import messages as m
from jupyter_shm.testing.private import eventually

LENGTH = 3000
"""Items of eight bytes: some pages."""


def full(value: int, length: int = LENGTH) -> np.ndarray:
    """Bytes that show where they belong: an array full of one value."""
    return np.full(length, value)


def same(array: np.ndarray) -> int:
    """The value that an array is full of."""
    assert (array == array[0]).all(), f"garbage: {np.unique(array)[:5]} ... in {array.shape}"
    return int(array[0])


# --- A client ---------------------------------------------------------------------------------------------------------


class Client:
    """A process with a connection named ``store``.

    Args:
        nursery: To the process that forks it.
        environment: Added to what that process has.
    """

    def __init__(self, nursery: socket.socket, environment: dict[str, str]) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            socket.send_fds(nursery, [pickle.dumps(environment)], [theirs.fileno()])
        self.pid: int = self.answer()

    def __call__(self, code: str) -> Any:
        """Run code; the value of it, if it is an expression."""
        self.send(code)
        return self.answer()

    def send(self, code: str) -> None:
        """Let code run, without waiting for it."""
        self._control.send(code.encode())

    def has_answered(self) -> bool:
        return bool(select.select([self._control], [], [], 0)[0])

    def answer(self, warned: tuple[str, ...] = ()) -> Any:
        """What the code gave that was sent.

        Args:
            warned: Names of the warnings that it has to raise.
        """
        assert select.select([self._control], [], [], SECONDS)[0], f"pid {self.pid} has not answered for {SECONDS:g} s"
        data = self._control.recv(1 << 20)
        if not data:
            raise PeerError("Died", "")
        is_value, value, found = pickle.loads(data)
        assert found == list(warned), f"warnings of pid {self.pid}"
        if is_value:
            return value
        raise PeerError(*value)

    def kill(self) -> None:
        """SIGKILL, and wait: nothing of it runs on."""
        os.kill(self.pid, signal.SIGKILL)
        self._wait()

    def close(self) -> None:
        """Let it end by itself, if it lives."""
        self._control.close()
        self._wait()

    def _wait(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(self.pid)
            is_over = select.select([handle], [], [], SECONDS)[0]
            os.close(handle)
            assert is_over, f"pid {self.pid} does not end"


@contextlib.contextmanager
def nursery() -> Iterator[socket.socket]:
    """The process that clients are forked from."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    argv = [sys.executable, "-W", "ignore::DeprecationWarning", __file__, str(theirs.fileno())]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    with ours, subprocess.Popen(argv, pass_fds=[theirs.fileno()], env=environment) as process:
        theirs.close()
        assert ours.recv(1) == b"."  # it runs
        try:
            yield ours
        finally:
            ours.close()
        assert process.wait(SECONDS) == 0


def _serve(control: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    control.send(b".")
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 1 << 16, 1)
        if not data:
            return
        if os.fork() == 0:
            try:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                control.close()
                os.environ.update(pickle.loads(data))
                _play(socket.socket(fileno=descriptors[0]))
            finally:
                os._exit(0)
        os.close(descriptors[0])


def _play(control: socket.socket) -> None:
    names = words()
    control.send(pickle.dumps((True, os.getpid(), [])))
    while code := control.recv(1 << 16).decode():
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks, since Python 3.12
            try:
                answer = (True, _run(code, names))
            except BaseException as error:  # all of it is the test's to judge
                answer = (False, (type(error).__name__, f"{error}\n{traceback.format_exc()}"))
        control.send(pickle.dumps((*answer, [warning.category.__name__ for warning in found])))


def _run(code: str, names: dict[str, Any]) -> Any:
    try:
        expression = compile(code, "<told>", "eval")
    except SyntaxError:
        exec(compile(code, "<told>", "exec"), names)
        return None
    return eval(expression, names)


# --- Its words --------------------------------------------------------------------------------------------------------


def words() -> dict[str, Any]:
    """What a client may be told to do, besides calling its ``store``."""
    names: dict[str, Any] = {"os": os, "shm": shm, "m": m, "full": full, "same": same, "error_of": error_of}
    for function in (put, waiting, wait_and_put, held, fork):
        names[function.__name__] = lambda *args, _do=function, **settings: _do(names["store"], *args, **settings)
    return names


def put(store: Store, value: int, name: str, length: int = LENGTH, overwrite: bool = True) -> tuple[int, int]:
    """Put, and tell the version and the one that it replaced."""
    ref = store.put(full(value, length), name, overwrite=overwrite)
    assert bool(ref.replaced_owner) == bool(ref.replaced_version), ref.replaced_owner
    return ref.version, ref.replaced_version


def error_of(call: Callable[[], object]) -> str:
    """The name of the error that a call ends with."""
    try:
        return repr(call())
    except shm.errors.ShmError as error:
        return type(error).__name__


def fork(store: Store) -> int:
    """Exit status of a forked child that reads "x"."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if same(store.get("x")) == 1 and store.stats().pid else 2
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1]


class Waiting:
    """A get in a thread of its own.  The wait has left the queue of the store, or is over, when this returns."""

    def __init__(self, store: Store, name: str) -> None:
        self._got: list[Any] = []
        self._thread = threading.Thread(target=self._get, args=(store, name), daemon=True)
        self._thread.start()
        while not self._got and not store._session.connection._answers:
            pass
        store.stats()  # is answered behind the wait

    def _get(self, store: Store, name: str) -> None:
        try:
            self._got.append(same(store.get(name, timeout=None)))
        except BaseException as error:
            self._got.append(repr(error))

    def result(self) -> Any:
        self._thread.join(SECONDS / 2)
        assert self._got, "the wait was not answered"
        return self._got[0]


def waiting(store: Store, name: str = "x") -> Waiting:
    """Begin to wait."""
    return Waiting(store, name)


def wait_and_put(store: Store) -> list[Any]:
    """One thread waits for what another one puts."""
    waiting = Waiting(store, "x")
    told = put(store, 2, "x")
    return [waiting.result(), told]


def held(store: Store) -> None:
    """Wait until the store has seen that an object without a name is still read."""
    assert eventually(lambda: store.stats().held)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
