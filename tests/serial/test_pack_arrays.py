"""Plain arrays, without pickle: what went in comes out, over the bytes that were given."""

from __future__ import annotations

import gc
import weakref

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest

from jupyter_shm.errors import DeserializeError
from jupyter_shm.serial.meta import NDARRAY, PICKLE, ArraySpec
from jupyter_shm.serial.pack import pack
from jupyter_shm.serial.unpack import copy_out, unpack

RECORD = np.dtype({"names": ["a", "b"], "formats": ["i1", "<f8"], "offsets": [2, 8], "itemsize": 24})
PLAIN = [
    *("?", "i1", "u2", "<i4", ">i4", "u8", "f2", "f4", "f8", ">f8", "g", "c8", "c16", "S1", "S7", "U1", "<U5", ">U5"),
    *("M8[ns]", "M8[D]", "M8[25s]", ">M8[us]", "m8[ms]", "m8", "M8", "V1", "V5"),
    RECORD,
    np.dtype([("x", "f4"), ("y", "M8[s]"), ("z", "S3")]),
    np.dtype([(("the title", "x"), "f4"), ("y", ">i2")]),
    np.dtype([("grid", "f8", (2, 3)), ("inner", [("p", "?"), ("q", "c8", (2,))])]),
    np.dtype([("é", "i4")]),
]


def unaligned(array):
    raw = np.zeros(array.nbytes + 1, np.uint8)[1:]
    raw[:] = np.frombuffer(array.tobytes(), np.uint8)
    return np.ndarray(array.shape, array.dtype, buffer=raw)


LAYOUTS = {
    "one dimension": lambda a: a.reshape(-1),
    "C": lambda a: a,
    "F": np.asfortranarray,
    "transposed": lambda a: a.T,
    "0-d": lambda a: a[0, 0, 0, ...],
    "empty": lambda a: a[:0].copy(),
    "empty F": lambda a: np.asfortranarray(a[:, :0]),
    "sliced": lambda a: a[:, ::2, 1:],
    "backwards": lambda a: a[::-1, :, ::-1],
    "broadcast": lambda a: np.broadcast_to(a[:, :1], a.shape),
    "axes swapped": lambda a: a.swapaxes(0, 1),
    "size one": lambda a: a[:1, 1:2],
    "offset by a byte": unaligned,
}


def noise(dtype, shape=(2, 4, 3)):
    """Every bit pattern the dtype allows, NaN and NaT among them, none that numpy would tidy up."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.random.default_rng(7).integers(0, 256, size, np.uint8)
    if dtype.kind == "U":
        raw = np.full(size // 4, ord("é"), dtype.byteorder + "u4").view(np.uint8)
    if dtype.kind == "b":
        raw &= 1
    return np.ndarray(shape, dtype, buffer=raw)


def same_bits(left, right):
    return left.shape == right.shape and left.dtype == right.dtype and fields(left) == fields(right)


def fields(array):
    """The bytes of every element; of a record only those of its fields, since padding is nobody's value."""
    if array.dtype.names is None:
        return array.tobytes()
    return [fields(array[name]) for name in array.dtype.names]


@pytest.mark.parametrize("dtype", PLAIN, ids=str)
def test_an_array_comes_back_with_its_bits_dtype_and_order(store_one, dtype):
    for layout in LAYOUTS.values():
        array = layout(noise(dtype))

        meta, parts, root = store_one(array)
        back = unpack(meta, parts)

        assert (meta.kind, meta.type, meta.nbytes) == (NDARRAY, "numpy.ndarray", array.nbytes)
        assert type(back) is np.ndarray
        assert same_bits(back, array)
        assert back.flags.c_contiguous or array.flags.f_contiguous
        if array.size and array.flags.forc:
            assert back.strides == np.empty_like(array).strides
        assert not back.flags.writeable
        assert back.base is root


@pytest.mark.parametrize("dtype", PLAIN, ids=str)
def test_a_copied_array_owns_its_memory_and_can_be_written(store_one, dtype):
    for layout in LAYOUTS.values():
        array = layout(noise(dtype))
        meta, parts, root = store_one(array)

        back = copy_out(meta, parts)

        assert same_bits(back, array)
        assert back.flags.owndata
        assert back.flags.writeable
        assert back.flags.f_contiguous == unpack(meta, parts).flags.f_contiguous
        assert not np.shares_memory(back, root)


@pytest.mark.parametrize("dtype", PLAIN, ids=str)
def test_packing_a_contiguous_array_copies_nothing(dtype):
    for layout in ("one dimension", "C", "F", "transposed", "0-d"):
        array = LAYOUTS[layout](noise(dtype)).view()
        array.flags.writeable = False

        (buffer,) = pack(array).buffers

        assert isinstance(buffer, memoryview)
        assert (buffer.format, buffer.ndim, buffer.c_contiguous, buffer.nbytes) == ("B", 1, True, array.nbytes)
        assert np.frombuffer(buffer, np.uint8).ctypes.data == array.ctypes.data


@pytest.mark.parametrize("layout", ["sliced", "backwards", "broadcast", "axes swapped"])
def test_a_non_contiguous_array_is_its_own_buffer(layout):
    array = LAYOUTS[layout](noise("f8"))

    packed = pack(array)

    assert packed.buffers[0] is array
    assert packed.array.order == "C"


@hypothesis.given(st.data())
@hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_any_array_that_numpy_can_make_comes_back(store_one, data):
    scalars = hnp.scalar_dtypes()
    dtype = data.draw(st.one_of(scalars, hnp.nested_dtypes(scalars, max_itemsize=64)))
    if dtype.subdtype is not None:
        dtype = dtype.base
    array = data.draw(hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0, max_side=4)))
    if array.ndim:
        array = array[data.draw(hnp.basic_indices(array.shape, allow_newaxis=True))]
    if data.draw(st.booleans()):
        array = np.asarray(array).T

    back = unpack(*store_one(array)[:2])
    copied = copy_out(*store_one(array)[:2])

    assert same_bits(np.asarray(back), np.asarray(array))
    assert same_bits(np.asarray(copied), np.asarray(array))


@pytest.mark.parametrize("layout", ["C", "F", "0-d", "empty"])
def test_the_root_lives_as_long_as_any_view_of_the_array(store_one, layout):
    meta, parts, root = store_one(LAYOUTS[layout](noise("f8")))
    watched = weakref.ref(root)
    array = unpack(meta, parts)
    del parts, root

    views = [array, array[...], array.T[...], array.view("i8").reshape(-1)[:1][:0], memoryview(array)]
    del array
    while views:
        gc.collect()
        assert watched() is not None
        views.pop()
    gc.collect()

    assert watched() is None


def test_the_root_lives_as_long_as_any_view_of_an_array_inside_an_object(store_one):
    meta, parts, root = store_one({"a": np.arange(100.0), "b": np.asfortranarray(np.ones((9, 9)))})
    watched = weakref.ref(root)
    found = unpack(meta, parts)
    view = found["b"][2:, 3].view()[1:]
    del found, parts, root
    gc.collect()

    assert watched() is not None
    assert view.tolist() == [1.0] * 6

    del view
    gc.collect()

    assert watched() is None


def test_an_array_over_writable_parts_writes_them(store_one):
    meta, parts, root = store_one(np.zeros(10, "u1"), writable=True)

    unpack(meta, parts)[3] = 9

    assert root.tolist() == [0, 0, 0, 9, 0, 0, 0, 0, 0, 0]


def left_to_pickle():
    aligned = np.dtype([("a", "i1"), ("b", "f8")], align=True)
    yield "metadata", np.dtype("f8", metadata={"unit": "m"})
    yield "metadata inside", np.dtype([("a", np.dtype("f8", metadata={"unit": "m"}))])
    yield "aligned", aligned
    yield "aligned inside", np.dtype([("x", "i1"), ("inner", aligned, (2,))])
    yield "record", np.dtype((np.record, [("a", "i4")]))
    yield "overlapping", np.dtype({"names": ["a", "b"], "formats": ["i4", "i2"], "offsets": [0, 0]})
    yield "out of order", np.dtype({"names": ["a", "b"], "formats": ["i4", "i4"], "offsets": [4, 0]})
    yield "two faces", np.dtype((np.int32, {"low": (np.int16, 0), "high": (np.int16, 2)}))
    yield "objects", np.dtype("O")
    yield "objects inside", np.dtype([("a", "O"), ("b", "f8")])
    yield "empty strings inside", np.dtype([("a", "S0")])
    yield "nothing", np.dtype([])


@pytest.mark.parametrize(
    ("name", "dtype"), list(left_to_pickle()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_dtype_that_text_would_lose_goes_through_pickle_and_is_kept(store_one, name, dtype):
    array = np.zeros((20, 3), dtype)

    meta, parts, _ = store_one(array)
    back = unpack(meta, parts)

    assert meta.kind == PICKLE
    assert back.dtype == dtype
    assert back.dtype.isalignedstruct == dtype.isalignedstruct
    assert back.dtype.type is dtype.type
    assert back.shape == array.shape


def test_equal_dtypes_with_and_without_metadata_are_told_apart():
    kinds = [pack(np.zeros(3, dtype)).kind for dtype in ("f8", np.dtype("f8", metadata={"unit": "m"}), "f8")]

    assert kinds == [NDARRAY, PICKLE, NDARRAY]


def test_strings_of_any_length_go_through_pickle(store_one):
    if not hasattr(getattr(np, "dtypes", None), "StringDType"):
        pytest.skip("numpy 2 brought StringDType")
    array = np.array(["a", "é" * 100], np.dtypes.StringDType())

    meta, parts, _ = store_one(array)

    assert meta.kind == PICKLE
    assert unpack(meta, parts).tolist() == array.tolist()


def test_strings_of_no_length_go_through_pickle(store_one):
    array = np.zeros(5, [("a", "S0")])["a"]

    back = unpack(*store_one(array)[:2])

    assert (back.dtype, back.shape) == (np.dtype("S0"), (5,))


def test_fields_renamed_in_place_after_a_pack_keep_their_new_names(store_one):
    array = np.zeros(3, [("a", "i4"), ("b", "f8")])
    pack(array)
    array.dtype.names = ("c", "d")

    assert unpack(*store_one(array)[:2]).dtype.names == ("c", "d")


def test_a_subclass_of_ndarray_goes_through_pickle_and_keeps_its_class(store_one):
    array = np.rec.array([(1, 2.0)] * 50, dtype=[("a", "i4"), ("b", "f8")])

    back = unpack(*store_one(array)[:2])

    assert type(back) is np.recarray
    assert back.a.tolist() == [1] * 50


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shape": (4,)}, "too small"),
        ({"shape": (2,)}, "would have shape .* 16 bytes"),
        ({"shape": (-1,)}, "would have shape"),
        ({"shape": (1 << 62, 1 << 62)}, "shape"),
        ({"shape": (1 << 63,)}, "shape"),
        ({"shape": None}, "missing"),
        ({"array": None}, "missing"),
        ({"array": ArraySpec("<f8", "K")}, "order is 'K'"),
        ({"array": ArraySpec("|O", "C")}, "objects"),
        ({"array": ArraySpec("[('a', '|O')]", "C")}, "objects"),
        ({"array": ArraySpec("rubbish", "C")}, "no dtype"),
        ({"array": ArraySpec("[", "C")}, "no dtype"),
        ({"array": ArraySpec("[" * 10_000, "C")}, "no dtype"),
        ({"array": ArraySpec("[1, 2]", "C")}, "no dtype"),
        ({"kind": "future"}, "'future'"),
    ],
)
def test_a_meta_that_does_not_fit_the_bytes_is_refused(store_one, changes, words):
    meta, parts, _ = store_one(np.zeros(3), **changes)

    with pytest.raises(DeserializeError, match=words):
        unpack(meta, parts)


def test_a_wrong_number_of_parts_is_refused(store_one):
    meta, parts, _ = store_one(np.zeros(3))

    for wrong in ([], parts * 2):
        with pytest.raises(DeserializeError):
            unpack(meta, wrong)
