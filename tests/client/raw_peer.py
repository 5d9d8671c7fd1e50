"""A connection to the store that says, and writes, what it likes."""

from __future__ import annotations

import os
import socket
from array import array
from mmap import mmap
from typing import Any

from jupyter_shm.client.identity import hello
from jupyter_shm.linux import packets
from jupyter_shm.linux.runtime import store_paths
from jupyter_shm.protocol import messages as m
from jupyter_shm.protocol import wire
from jupyter_shm.tables.leases import LEASES_SIZE, RING_BASE, LeaseTable
from jupyter_shm.tables.prefix import pack_prefix
from jupyter_shm.tables.ring import HEAD_WORD, write_entry


class Raw:
    """One connection, not welcomed yet.

    Attributes:
        sock: Of the connection.
        table: The lease table, with the ring; there once the store has welcomed us.
    """

    def __init__(self) -> None:
        self.sock = packets.connect(store_paths("default").socket)
        self.sock.settimeout(20)
        self.table: LeaseTable | None = None
        self._map: mmap | None = None
        self._heap = -1

    def close(self) -> None:
        """Hang up."""
        self.sock.close()
        if self._map is not None:
            self.table.words.release()
            self.table.memory.release()
            self._map.close()
            os.close(self._heap)
            self._map = None

    # --- packets -----------------------------------------------------------------------------------------------------

    def say(self, data: bytes, descriptors: Any = ()) -> None:
        self.sock.sendmsg(
            [data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []
        )

    def tell(self, message: m.Request) -> None:
        self.say(wire.encode(message))

    def greet(self) -> m.Welcome:
        """Say hello, and keep what comes with the welcome: the writable heap and the lease table."""
        self.say(wire.encode_opening(hello()))
        data, ancillary, _, _ = self.sock.recvmsg(1 << 16, 1024, socket.MSG_CMSG_CLOEXEC)
        (payload,) = (payload for _level, _kind, payload in ancillary)
        read_only, self._heap, index, table, *spill = array("i", payload)
        self._map = mmap(table, LEASES_SIZE)
        self.table = LeaseTable(memoryview(self._map))
        packets.close_all((read_only, index, table, *spill))
        return wire.decode_welcome(data)

    def ask(self, message: m.Request) -> m.Answer:
        self.tell(message)
        return self.answer()

    def is_refused(self, message: m.Request) -> str:
        """Is it refused, or this connection ended for it?  The reason, in either case not carried out."""
        self.tell(message)
        data = self.sock.recv(1 << 16)
        return wire.decode_answer(data).reason if data else "ended"

    def answer(self) -> m.Answer:
        return wire.decode_answer(self.sock.recv(1 << 16))

    def is_ended(self) -> bool:
        """Nothing more comes; an answer may come before."""
        while self.sock.recv(1 << 16):
            pass
        return True

    # --- memory ------------------------------------------------------------------------------------------------------

    def write_object(self, offset: int, contained: tuple[int, ...] = ()) -> None:
        """Write the beginning of an object."""
        os.pwrite(self._heap, pack_prefix(contained, b"", "liar"), offset)

    def write_entry(self, position: int, *entry: int) -> None:
        """Write an entry of the ring, which nobody knows of yet."""
        write_entry(self.table.memory, RING_BASE, position, entry)

    def write_bytes(self, position: int, data: bytes) -> None:
        """Write anything where an entry of the ring belongs."""
        at = RING_BASE + (position - 1) * 64
        self.table.memory[at : at + len(data)] = data

    def set_head(self, head: int, ring: bool = True) -> None:
        """Say how many entries there are, and ring the bell."""
        self.table.words[HEAD_WORD] = head
        if ring:
            self.tell(m.Ring())
