"""What the machine gives to anybody, measured in the same process and the same rhythm as what is held against it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

ECHO = "import socket, sys; s = socket.socket(fileno=int(sys.argv[1]))\nwhile data := s.recv(65536): s.send(data)"
PACKET = b"x" * 64


class Copy:
    """``np.copyto`` of so many bytes, one thread, both sides touched before.

    Args:
        source: What is copied.
    """

    def __init__(self, source: np.ndarray) -> None:
        self._source = source
        self._target = np.ones_like(source)

    def __call__(self) -> float:
        """Seconds of one copy."""
        start = time.perf_counter()
        np.copyto(self._target, self._source)
        return time.perf_counter() - start


@contextmanager
def echo() -> Iterator[Callable[[], float]]:
    """Another process that sends every packet back: the bare blocking round trip.

    Yields:
        A call that gives the seconds of one.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = subprocess.Popen([sys.executable, "-c", ECHO, str(theirs.fileno())], pass_fds=[theirs.fileno()])
    theirs.close()

    def trip() -> float:
        start = time.perf_counter()
        ours.send(PACKET)
        ours.recv(65536)
        return time.perf_counter() - start

    try:
        trip()  # it has started
        yield trip
    finally:
        ours.close()
        child.wait()
