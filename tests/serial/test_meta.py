from __future__ import annotations

import msgspec
import pytest

from jupyter_shm.errors import DeserializeError
from jupyter_shm.serial.meta import ArraySpec, Meta, decode_meta, encode_meta

META = Meta(
    kind="ndarray",
    type="numpy.ndarray",
    shape=(2, 3),
    dtype="float64",
    nbytes=48,
    array=ArraySpec("<f8", "F"),
    python=(3, 11),
    cloudpickle="3.1.2",
    by_value=False,
    parts=((0, 64, 40), (3, 1 << 40, 8)),
)


@pytest.mark.parametrize("changes", [{}, {"shape": None, "dtype": None, "array": None, "parts": ()}, {"shape": ()}])
def test_a_meta_comes_back_equal(changes):
    meta = msgspec.structs.replace(META, **changes)

    assert decode_meta(encode_meta(meta)) == meta


def test_fields_of_a_newer_release_are_ignored():
    fields = msgspec.msgpack.decode(encode_meta(META))
    fields[5].append("future")

    assert decode_meta(msgspec.msgpack.encode([*fields, {"future": 1}])) == META


def test_every_cut_of_a_meta_is_refused():
    data = encode_meta(META)

    for size in range(len(data)):
        with pytest.raises(DeserializeError):
            decode_meta(data[:size])


@pytest.mark.parametrize("position", range(len(META.__struct_fields__)))
def test_a_field_of_a_wrong_type_is_refused(position):
    fields = msgspec.msgpack.decode(encode_meta(META))
    fields[position] = {"wrong": True}

    with pytest.raises(DeserializeError, match="cannot be read"):
        decode_meta(msgspec.msgpack.encode(fields))


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x90", b"[]", bytes(100), b"\x93" * 5000])
def test_rubbish_is_refused(data):
    with pytest.raises(DeserializeError):
        decode_meta(data)
