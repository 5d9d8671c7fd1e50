"""By reference through ``multiprocessing``: its queues, pipes, pools, managers and arguments of processes.

``concurrent.futures.ProcessPoolExecutor`` goes the same way.  All of it is pickled by one class, which has a table of
reducers.  A connection may lead to another machine, so it is asked where its other end is.
"""

from __future__ import annotations

import os
import pickle
import socket
import stat
import struct
from functools import partial
from multiprocessing import connection, reduction
from typing import Any

from .by_reference import message, towards
from .reducers import Table, reducers

_base: Any = connection._ConnectionBase  # noqa: SLF001 - nothing else knows where a message goes
_send = _base.send
_pickler: Any = reduction.ForkingPickler
_table = Table()


def begin() -> None:
    """From now on."""
    _table.extend(_pickler._extra_reducers, reducers(pickle.DEFAULT_PROTOCOL))  # noqa: SLF001 - to undo it
    _pickler.dump = dump
    _base.send = send


def end() -> None:
    """As it was before."""
    _table.restore()
    del _pickler.dump
    _base.send = _send


def send(self: Any, obj: object) -> None:
    """``Connection.send``, to where there is no store as bytes."""
    with towards(partial(is_here, self)):
        _send(self, obj)


def dump(self: Any, obj: object) -> None:
    """``ForkingPickler.dump``: one message."""
    if _table.is_late():
        begin()
        self.dispatch_table.update(_pickler._extra_reducers)  # noqa: SLF001 - that is where it has them from
    with message():
        pickle.Pickler.dump(self, obj)


def is_here(conn: Any) -> bool:
    """Does a connection lead to a process of this user on this machine?"""
    descriptor = conn.fileno()
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        return True
    sock = socket.socket(fileno=os.dup(descriptor))
    try:
        if sock.family != socket.AF_UNIX:
            return False  # also of this very machine: who forwards a port does not say so
        _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
        return bool(uid == os.geteuid())
    finally:
        sock.close()
