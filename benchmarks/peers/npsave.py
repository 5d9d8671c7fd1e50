"""``np.save`` into /dev/shm, ``np.load(mmap_mode="r")`` out of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .peer import Array, Peer


class Saved(Peer):
    """Each array is a file."""

    def put(self, array: Array, name: str) -> str:
        path = f"/dev/shm/{name}.npy"
        np.save(path, array)
        return path

    def get(self, opened: str) -> Array:
        return np.load(opened, mmap_mode="r")

    def delete(self, handle: str) -> None:
        Path(handle).unlink()


PEER = Saved
