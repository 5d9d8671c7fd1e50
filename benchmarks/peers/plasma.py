"""Plasma, the object store that pyarrow had up to version 11: create, write with several threads, seal."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that it will be removed
    from pyarrow import plasma

from .peer import Array, Peer

SERVER = Path(pa.__file__).parent / "plasma-store-server"

PATIENCE = 20.0
"""Seconds that the store has to make its socket."""


class Plasma(Peer):
    """An object's id is the hash of its name, its metadata the dtype."""

    packages = ("pyarrow",)

    def start(self, capacity: int) -> str:
        address = str(self.folder / "plasma")
        self._server = subprocess.Popen([SERVER, "-m", str(capacity), "-s", address])
        deadline = time.monotonic() + PATIENCE
        while not Path(address).exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        self.join(address)
        return address

    def join(self, address: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._client = plasma.connect(address)

    def stop(self) -> None:
        self._server.terminate()
        self._server.wait()

    def put(self, array: Array, name: str) -> plasma.ObjectID:
        id = plasma.ObjectID(hashlib.sha1(name.encode()).digest())
        writer = pa.FixedSizeBufferWriter(self._client.create(id, array.nbytes, array.dtype.str.encode()))
        writer.set_memcopy_threads(os.cpu_count())
        writer.write(memoryview(array).cast("B"))
        self._client.seal(id)
        return id

    def key(self, handle: plasma.ObjectID) -> str:
        return handle.binary().hex()

    def open(self, key: str) -> plasma.ObjectID:
        return plasma.ObjectID(bytes.fromhex(key))

    def get(self, opened: plasma.ObjectID) -> Array:
        ((dtype, buffer),) = self._client.get_buffers([opened], with_meta=True)
        return np.frombuffer(buffer, dtype.decode())

    def delete(self, handle: plasma.ObjectID) -> None:
        self._client.delete([handle])

    def count(self, _handles: list[plasma.ObjectID]) -> int:
        return len(self._client.list())


PEER = Plasma
