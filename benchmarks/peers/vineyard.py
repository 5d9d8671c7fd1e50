"""Vineyard: put and get of ndarrays."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import vineyard

from .peer import Array, Peer

SERVER = Path(vineyard.__file__).parent / "bdist" / "vineyardd"

PATIENCE = 20.0
"""Seconds that the store has to make its socket."""


class Vineyard(Peer):
    """A key is an object id; its own names take a further call."""

    packages = ("vineyard",)

    def start(self, capacity: int) -> str:
        address = str(self.folder / "vineyard")
        command = [SERVER, "-size", str(capacity), "-meta", "local", "-socket", address, "-rpc=false"]
        self._server = subprocess.Popen(command)
        deadline = time.monotonic() + PATIENCE
        while not Path(address).exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        self.join(address)
        return address

    def join(self, address: str) -> None:
        self._client = vineyard.connect(address)

    def stop(self) -> None:
        self._client.close()
        self._server.terminate()
        self._server.wait()

    def put(self, array: Array, _name: str) -> Any:
        return self._client.put(array)

    def key(self, handle: Any) -> str:
        return str(int(handle))

    def open(self, key: str) -> Any:
        return vineyard.ObjectID(int(key))

    def get(self, opened: Any) -> Array:
        return self._client.get(opened)

    def delete(self, handle: Any) -> None:
        self._client.delete([handle])

    def count(self, handles: list[Any]) -> int:
        self._client.get_meta(handles[-1])
        return len(handles)


PEER = Vineyard
