"""jupyter_shm, through its public interface."""

from __future__ import annotations

import os
import time
from typing import Any

from jupyter_shm import ObjectRef, Store

from .peer import Array, Peer

PATIENCE = 10.0
"""Seconds to wait for the warm reserve."""

QUIET = 1.0
"""Seconds in which the reserve did not grow: it is full."""


class Us(Peer):
    """Names are names, and a ref keeps what has none."""

    packages = ("jupyter_shm",)
    replaces = True

    def start(self, capacity: int) -> str:
        os.environ["JUPYTER_SHM_RUNTIME_DIR"] = str(self.folder)
        self.store = Store(capacity=capacity)
        return str(self.folder)

    def join(self, address: str) -> None:
        os.environ["JUPYTER_SHM_RUNTIME_DIR"] = address
        self.store = Store(start=False)

    def settle(self) -> None:
        if os.environ.get("JUPYTER_SHM_RESERVE") == "0" or not hasattr(self.store.stats(), "reserve"):
            return
        deadline, before, since = time.monotonic() + PATIENCE, -1, time.monotonic()
        while time.monotonic() < min(deadline, since + QUIET):
            reserve = self.store.stats().reserve
            if reserve != before:
                before, since = reserve, time.monotonic()
            time.sleep(0.05)

    def stop(self) -> None:
        self.store.shutdown(force=True)

    def put(self, array: Array, name: str) -> ObjectRef:
        return self.store.put(array, name)

    def put_anonymous(self, array: Array, _name: str) -> ObjectRef:
        return self.store.put(array)

    def key(self, handle: ObjectRef) -> str:
        return handle.name

    def get(self, opened: str) -> Array:
        return self.store.get(opened)

    def delete(self, handle: ObjectRef) -> None:
        if handle.name:
            self.store.delete(handle.name)

    def count(self, _handles: list[Any]) -> int:
        return self.store.stats().objects


PEER = Us
