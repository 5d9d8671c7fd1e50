"""Plasma, the object store that pyarrow had up to version 11: put and get of ndarrays."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
import warnings
from pathlib import Path

import pyarrow as pa

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that it will be removed
    from pyarrow import plasma

from .peer import Array, Peer

SERVER = Path(pa.__file__).parent / "plasma-store-server"

PATIENCE = 20.0
"""Seconds that the store has to make its socket."""


class Plasma(Peer):
    """An object's id is the hash of its name."""

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
        return self._client.put(array, self._id(name), memcopy_threads=os.cpu_count())

    def _id(self, name: str) -> plasma.ObjectID:
        return plasma.ObjectID(hashlib.sha1(name.encode()).digest())

    def key(self, handle: plasma.ObjectID) -> str:
        return handle.binary().hex()

    def open(self, key: str) -> plasma.ObjectID:
        return plasma.ObjectID(bytes.fromhex(key))

    def get(self, opened: plasma.ObjectID) -> Array:
        return self._client.get(opened)

    def delete(self, handle: plasma.ObjectID) -> None:
        self._client.delete([handle])

    def count(self, _handles: list[plasma.ObjectID]) -> int:
        return len(self._client.list())


PEER = Plasma
