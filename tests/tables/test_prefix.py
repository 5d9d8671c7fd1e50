"""The first bytes of an object: there and back, and headers that announce what is not there."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_shm.errors import ProtocolError
from jupyter_shm.tables.prefix import HEAD_SIZE, data_start, pack_prefix, read_contained, read_head

ids = st.lists(st.integers(0, 2**64 - 1), max_size=40).map(tuple)


@settings(max_examples=200, deadline=None)
@given(contained=ids, description=st.binary(max_size=300))
def test_what_was_packed_is_read_again(contained: tuple[int, ...], description: bytes):
    data = pack_prefix(contained, description)
    count, size = read_head(data, len(data))

    assert read_contained(data, count) == contained
    assert data[HEAD_SIZE + 8 * count :][:size] == description
    assert data_start(count, size) == len(data)
    assert len(data) % 64 == 0


def test_a_prefix_is_laid_out_as_it_was():
    assert pack_prefix((5, 6), b"meta") == (
        b"JSHMOBJ1" + struct.pack("<II", 2, 4) + struct.pack("<QQ", 5, 6) + b"meta" + bytes(28)
    )


@pytest.mark.parametrize(("description", "start"), [(0, 64), (48, 64), (49, 128)])
def test_data_starts_on_the_next_line(description: int, start: int):
    assert data_start(0, description) == start == len(pack_prefix((), bytes(description)))


def head(magic: bytes = b"JSHMOBJ1", contained: int = 0, description: int = 0) -> bytes:
    return struct.pack("<8sII", magic, contained, description)


BAD = {
    "nothing": (b"", 64),
    "half a head": (head()[:15], 64),
    "zeros": (bytes(16), 64),
    "another magic": (head(b"JSHMOBJ2"), 64),
    "an object shorter than its head": (head(), 15),
    "an object of no bytes": (head(), 0),
    "an object of negative bytes": (head(), -1),
    "one contained object too many": (head(contained=7), 16 + 7 * 8 - 1),
    "a description one byte too long": (head(description=49), 64),
    "counts of 32 bits": (head(contained=2**32 - 1, description=2**32 - 1), 1 << 30),
}


@pytest.mark.parametrize(("data", "nbytes"), BAD.values(), ids=BAD)
def test_a_header_that_does_not_fit_its_object_is_refused(data: bytes, nbytes: int):
    with pytest.raises(ProtocolError) as caught:
        read_head(data, nbytes)

    assert caught.value.reason == "bad-header"


def test_a_header_that_just_fits_is_read():
    assert read_head(head(contained=6), 64) == (6, 0)
    assert read_head(head(description=48), 64) == (0, 48)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=64) | st.binary(max_size=56).map(lambda rest: b"JSHMOBJ1" + rest), nbytes=st.integers())
def test_any_bytes_are_a_header_that_fits_or_refused(data: bytes, nbytes: int):
    try:
        count, description = read_head(data, nbytes)
    except ProtocolError:
        return
    assert HEAD_SIZE + 8 * count + description <= nbytes
