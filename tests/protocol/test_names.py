"""What a name may be, and what is said of one that may not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_shm.errors import InvalidKeyError, InvalidNameError
from jupyter_shm.protocol.messages import MAX_NAME
from jupyter_shm.protocol.names import encode_name


@pytest.mark.parametrize(
    "name", ["a", " ", "a/b:c*?\n", "Zahl \u20ac \U0001f600", "x" * MAX_NAME, "\u20ac" * 42 + "xx"]
)
def test_any_text_of_1_to_128_bytes_is_a_name(name: str):
    assert encode_name(name) == name.encode()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "at least one character"),
        ("a\0b", "NUL"),
        ("\0", "NUL"),
        ("x" * (MAX_NAME + 1), "129 bytes.*limit is 128"),
        ("\u20ac" * 43, "129 bytes.*limit is 128"),
        ("\x01" * 1_000_000, "1000000 bytes"),
        ("half \ud800 a pair", "UTF-8"),
        ("\udcff" * 500, "UTF-8"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_other_text_is_no_name_and_is_told_why_in_a_line(name: str, said: str):
    with pytest.raises(InvalidNameError, match=said) as caught:
        encode_name(name)

    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("name", [None, 1, b"bytes", ["name"], 1.5, object()], ids=lambda value: type(value).__name__)
def test_what_is_no_text_is_no_name(name: object):
    with pytest.raises(InvalidKeyError, match=type(name).__name__):
        encode_name(name)


@settings(max_examples=200, deadline=None)
@given(name=st.text(st.characters(codec=None) | st.sampled_from("\0\u20ac\ud800"), max_size=MAX_NAME + 2))
def test_a_name_is_its_utf_8_or_refused(name: str):
    try:
        data = encode_name(name)
    except InvalidNameError:
        has_half_a_pair = any("\ud800" <= letter <= "\udfff" for letter in name)
        assert not name or "\0" in name or has_half_a_pair or len(name.encode()) > MAX_NAME
    else:
        assert data.decode() == name
        assert 0 < len(data) <= MAX_NAME
