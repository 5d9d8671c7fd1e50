"""``joblib.dump`` into /dev/shm, ``joblib.load(mmap_mode="r")`` out of it: what its workers do with large arguments."""

from __future__ import annotations

from pathlib import Path

import joblib

from .peer import Array, Peer


class Dumped(Peer):
    """Each array is a file."""

    packages = ("joblib",)

    def put(self, array: Array, name: str) -> str:
        path = f"/dev/shm/{name}.joblib"
        joblib.dump(array, path)
        return path

    def get(self, opened: str) -> Array:
        return joblib.load(opened, mmap_mode="r")

    def delete(self, handle: str) -> None:
        Path(handle).unlink()


PEER = Dumped
