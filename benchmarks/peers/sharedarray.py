"""SharedArray: an array created in a segment, attached to by its name."""

from __future__ import annotations

import numpy as np
import SharedArray

from .peer import Array, Peer


class Attached(Peer):
    """An array unmaps its segment when it is collected."""

    packages = ("SharedArray",)

    def put(self, array: Array, name: str) -> str:
        shared = SharedArray.create(f"shm://{name}", array.shape, array.dtype)
        np.copyto(shared, array)
        return name

    def get(self, opened: str) -> Array:
        return SharedArray.attach(f"shm://{opened}")

    def delete(self, handle: str) -> None:
        SharedArray.delete(f"shm://{handle}")


PEER = Attached
