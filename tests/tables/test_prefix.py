"""The first bytes of an object: there and back, and headers that announce what is not there."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_shm.errors import ProtocolError
from jupyter_shm.protocol import messages
from jupyter_shm.tables.prefix import (
    HEAD_SIZE,
    MAX_LABEL,
    data_start,
    description_start,
    pack_prefix,
    read_contained,
    read_head,
    read_label,
)

ids = st.lists(st.integers(0, 2**64 - 1), max_size=40).map(tuple)
labels = st.text(max_size=60)


@settings(max_examples=200, deadline=None)
@given(contained=ids, description=st.binary(max_size=300), label=labels)
def test_what_was_packed_is_read_again(contained: tuple[int, ...], description: bytes, label: str):
    data = pack_prefix(contained, description, label)
    count, size, length = read_head(data, len(data))

    assert read_contained(data, count) == contained
    assert read_label(data, count, length) == label
    assert data[description_start(count, length) :][:size] == description
    assert data_start(count, size, length) == len(data)
    assert len(data) % 64 == 0


def test_a_prefix_is_laid_out_as_it_was():
    assert pack_prefix((5, 6), b"meta", "né") == (
        b"JSHMOBJ2" + struct.pack("<IIII", 2, 4, 3, 0) + struct.pack("<QQ", 5, 6) + "né".encode() + b"meta" + bytes(17)
    )


@pytest.mark.parametrize(("description", "label", "start"), [(0, 0, 64), (40, 0, 64), (41, 0, 128), (0, 41, 128)])
def test_data_starts_on_the_next_line(description: int, label: int, start: int):
    assert data_start(0, description, label) == start == len(pack_prefix((), bytes(description), "x" * label))


# --- Labels -----------------------------------------------------------------------------------------------------------


def label_of(data: bytes) -> str:
    count, _, length = read_head(data, len(data))
    return read_label(data, count, length)


def test_a_label_may_be_as_long_as_the_protocol_lets_a_client_call_itself():
    assert MAX_LABEL == messages.MAX_LABEL
    assert label_of(pack_prefix((7,), b"meta", "x" * MAX_LABEL)) == "x" * MAX_LABEL


@pytest.mark.parametrize(
    ("label", "kept"),
    [("x" * 257, "x" * 256), ("ä" * 129, "ä" * 128), ("xä" * 128, "xä" * 85 + "x"), ("\udc80", "?")],
    ids=["one byte too long", "whole characters", "not half a character", "a lone surrogate"],
)
def test_of_a_label_that_is_too_long_or_no_text_the_rest_is_kept(label: str, kept: str):
    assert label_of(pack_prefix((), b"meta", label)) == kept


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_label_that_is_no_utf_8_is_shown_as_far_as_it_goes(kind: type):
    data = pack_prefix((1, 2), b"", "abc").replace(b"abc", b"a\xffc")

    assert read_label(kind(data), 2, 3) == "a\ufffdc"


def test_a_label_of_which_not_all_is_there_is_shown_as_far_as_it_goes():
    assert read_label(pack_prefix((), b"", "abc")[: HEAD_SIZE + 2], 0, 3) == "ab"
    assert read_label(b"", 5, 100) == ""


# --- Headers ----------------------------------------------------------------------------------------------------------


def head(magic: bytes = b"JSHMOBJ2", contained: int = 0, description: int = 0, label: int = 0) -> bytes:
    return struct.pack("<8sIIII", magic, contained, description, label, 0)


BAD = {
    "nothing": (b"", 64),
    "half a head": (head()[:23], 64),
    "zeros": (bytes(24), 64),
    "another magic": (head(b"JSHMOBJ1"), 64),
    "an object shorter than its head": (head(), 23),
    "an object of no bytes": (head(), 0),
    "an object of negative bytes": (head(), -1),
    "one contained object too many": (head(contained=7), 24 + 7 * 8 - 1),
    "a description one byte too long": (head(description=41), 64),
    "a label one byte too long": (head(label=41), 64),
    "all of it together one byte too long": (head(contained=3, description=8, label=9), 64),
    "a label longer than labels are": (head(label=257), 4096),
    "counts of 32 bits": (head(contained=2**32 - 1, description=2**32 - 1, label=2**32 - 1), 1 << 30),
}


@pytest.mark.parametrize(("data", "nbytes"), BAD.values(), ids=BAD)
def test_a_header_that_does_not_fit_its_object_is_refused(data: bytes, nbytes: int):
    with pytest.raises(ProtocolError) as caught:
        read_head(data, nbytes)

    assert caught.value.reason == "bad-header"


def test_a_header_that_just_fits_is_read():
    assert read_head(head(contained=5), 64) == (5, 0, 0)
    assert read_head(head(description=40), 64) == (0, 40, 0)
    assert read_head(head(label=40), 64) == (0, 0, 40)
    assert read_head(head(contained=3, description=8, label=8), 64) == (3, 8, 8)
    assert read_head(head(label=256), 280) == (0, 0, 256)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=64) | st.binary(max_size=56).map(lambda rest: b"JSHMOBJ2" + rest), nbytes=st.integers())
def test_any_bytes_are_a_header_that_fits_or_refused(data: bytes, nbytes: int):
    try:
        count, description, label = read_head(data, nbytes)
    except ProtocolError:
        return
    assert HEAD_SIZE + 8 * count + label + description <= nbytes
    assert label <= MAX_LABEL
    assert len(read_label(data, count, label)) <= label
