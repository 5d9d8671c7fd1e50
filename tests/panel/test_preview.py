"""Previews: small, of text and numbers only, whatever is looked at."""

from __future__ import annotations

import base64
import json

import msgspec
import numpy as np
import pytest

from jupyter_shm.panel import preview
from jupyter_shm.panel.preview import ImageLook, LineLook, TableLook, TextLook, preview_of

RECORDS = np.zeros(20, [("name", "U8"), ("value", "f4")])


class Rude:
    """Cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("<b>no</b>")


LOOKS = {
    "a line": (np.arange(1000.0), LineLook),
    "a line of truths": (np.array([True, False, True]), LineLook),
    "few numbers": (np.arange(2), TableLook),
    "texts": (np.array(["a", "b"]), TableLook),
    "times": (np.arange("2020-01", "2020-05", dtype="datetime64[M]"), TableLook),
    "complex numbers": (np.arange(5) * 1j, TableLook),
    "a small matrix": (np.eye(5), TableLook),
    "a large matrix": (np.eye(200), ImageLook),
    "a picture": (np.zeros((20, 30, 3), np.uint8), ImageLook),
    "three dimensions": (np.zeros((4, 5, 6)), TableLook),
    "records": (RECORDS, TableLook),
    "records in two dimensions": (RECORDS.reshape(4, 5).T, TableLook),
    "nothing": (np.zeros((0, 3)), TextLook),
    "a scalar": (np.array(3.5), TextLook),
    "objects": (np.array([object, "x"], object), TextLook),
    "masked": (np.ma.masked_array([1, 2], [True, False]), TextLook),
    "a dict": ({"a": [1, 2, {"b": (3,)}]}, TextLook),
    "long text": ("x" * 100_000, TextLook),
    "what cannot be shown": (Rude(), TextLook),
}


@pytest.mark.parametrize(("obj", "kind"), LOOKS.values(), ids=LOOKS)
def test_everything_has_a_small_look(obj, kind):
    look = preview_of(obj)

    assert type(look) is kind
    told = msgspec.json.encode(look)
    assert len(told) < 100_000
    assert (
        json.loads(told)["kind"] == {TableLook: "table", LineLook: "line", ImageLook: "image", TextLook: "text"}[kind]
    )


def test_a_long_line_is_looked_at_in_few_places():
    look = preview_of(np.arange(1_000_000))

    assert len(look.values) <= preview.POINTS
    assert look.note == "every 4,167th of 1,000,000 elements"
    assert look.first[:2] == ("0", "1")


def test_what_is_not_finite_is_a_gap_in_a_line_and_black_in_a_picture():
    line = preview_of(np.array([1.0, np.nan, np.inf, -1.0]))
    picture = np.full((30, 30), 5.0)
    picture[0, 0] = np.nan

    assert line.values == (1.0, None, None, -1.0)
    assert (line.low, line.high) == ("-1", "1")
    assert base64.b64decode(preview_of(picture).pixels)[:4] == b"\0\0\0\xff"


def test_numbers_at_the_ends_of_what_there_is_are_drawn_without_a_warning():
    largest = np.finfo(float).max
    line = preview_of(np.array([-largest, 0.0, largest]))
    picture = preview_of(np.where(np.eye(30, dtype=bool), largest, -largest))

    assert line.values[2] == largest
    pixels = np.frombuffer(base64.b64decode(picture.pixels), np.uint8).reshape(30, 30, 4)
    assert pixels[3, 3].tolist() == [255, 255, 255, 255]
    assert pixels[3, 4].tolist() == [0, 0, 0, 255]


def test_a_picture_has_four_bytes_for_each_pixel_and_the_colours_of_its_own():
    colours = np.zeros((1000, 10, 4), np.uint8)
    colours[..., 1] = 200
    look = preview_of(colours)

    assert (look.height, look.width) == (125, 2)
    assert base64.b64decode(look.pixels) == b"\0\xc8\0\0" * 250


def test_a_table_shows_its_first_rows_and_says_how_many_there_are():
    look = preview_of(np.arange(2000.0).reshape(100, 20))

    assert preview_of(np.arange(400.0).reshape(20, 20)).rows[1][:2] == ("20", "21")
    assert look.note == "first 10 of 100 rows, first 12 of 20 columns"


def test_a_table_of_more_dimensions_says_which_part_it_shows():
    look = preview_of(np.zeros((2, 3, 4)))

    assert look.note == "[0] of 2 \N{MULTIPLICATION SIGN} 3 \N{MULTIPLICATION SIGN} 4: all of it"
    assert len(look.rows) == 3


def test_frames_show_rows_index_and_columns():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": range(50), "<b>": ["x"] * 50}, index=[f"row {i}" for i in range(50)])

    look = preview_of(frame)

    assert look.columns == ("a", "<b>")
    assert look.index[1] == "row 1"
    assert look.rows[1] == ("1", "x")
    assert look.note == "first 10 of 50 rows"
    assert preview_of(frame["a"]).columns == ("a",)


def test_arrow_tables_show_rows_and_columns():
    pa = pytest.importorskip("pyarrow")

    look = preview_of(pa.table({"a": list(range(50)), "b": ["x"] * 50}))

    assert look.columns == ("a", "b")
    assert look.rows[2] == ("2", "x")


def test_what_cannot_be_shown_says_why_in_text():
    look = preview_of(Rude())

    assert "<b>no</b>" in look.text or "Rude" in look.text


def test_only_what_is_shown_is_touched():
    class Counting(np.ndarray):
        touched = 0

        def __getitem__(self, key):
            found = super().__getitem__(key)
            Counting.touched += np.size(found)
            return found

    preview_of(np.zeros(10_000_000).view(Counting))

    assert 0 < Counting.touched < 1000
