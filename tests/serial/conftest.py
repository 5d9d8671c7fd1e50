"""A store of one object, in a byte string: what a writer and a reader of the heap do, without a heap."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np
import pytest

from jupyter_shm.serial.meta import Meta, decode_meta, encode_meta
from jupyter_shm.serial.pack import Packed, pack

ALIGNMENT = 64


class Stored(NamedTuple):
    meta: Meta
    parts: list[np.ndarray]
    root: np.ndarray  # the parts are slices of it; its own base is no ndarray, as over a raw map


def written(packed: Packed) -> tuple[bytearray, list[tuple[int, int, int]]]:
    """Every buffer behind the last one, and where each one lies."""
    data, places = bytearray(), []
    for buffer in packed.buffers:
        data += bytes(-len(data) % ALIGNMENT)
        places.append((0, len(data), buffer.nbytes))
        data += buffer.tobytes("C")
    return data, places


def meta_of(packed: Packed, places: list[tuple[int, int, int]], **changes: Any) -> Meta:
    facts: dict[str, Any] = {
        "kind": packed.kind,
        "type": packed.type,
        "shape": packed.shape,
        "dtype": packed.dtype,
        "nbytes": packed.nbytes,
        "array": packed.array,
        "python": sys.version_info[:2],
        "cloudpickle": "3.1",
        "by_value": packed.by_value,
        "parts": tuple(places),
    }
    return Meta(**{**facts, **changes})


@pytest.fixture
def store_one():
    def store(obj: object, *, writable: bool = False, **changes: Any) -> Stored:
        packed = pack(obj)
        data, places = written(packed)
        meta = decode_meta(encode_meta(meta_of(packed, places, **changes)))
        root = np.frombuffer(memoryview(data if writable else bytes(data)), np.uint8)
        return Stored(meta, [root[at : at + size] for _, at, size in meta.parts], root)

    return store
