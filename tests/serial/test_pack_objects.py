"""Everything that goes through pickle: what is shared, what is private, and what code it carries."""

from __future__ import annotations

import io
import subprocess
import sys
import textwrap
from types import ModuleType

import numpy as np
import pytest

from jupyter_shm.errors import DeserializeError, PythonMismatchError, UnpicklableError
from jupyter_shm.serial.meta import PICKLE
from jupyter_shm.serial.pack import pack
from jupyter_shm.serial.pickler import MIN_OUT_OF_BAND
from jupyter_shm.serial.unpack import copy_out, unpack

BIG = MIN_OUT_OF_BAND // 8  # float64 elements that just go out of band


def defined_in_a_notebook(source: str, name: str):
    """An object that only its code can carry, as what a notebook's cell defines."""
    cell: dict[str, object] = {"__name__": "__main__"}
    exec(textwrap.dedent(source), cell)
    return cell[name]


class Reducible:
    """Does in __reduce__ whatever it was made for."""

    def __init__(self, act):
        self.act = act

    def __reduce__(self):
        return self.act()


def raise_this(error):
    raise error


@pytest.mark.parametrize(
    "array",
    [
        np.arange(float(BIG)),
        np.asfortranarray(np.random.default_rng(1).random((BIG, 3))),
        np.arange(BIG * 6.0).reshape(BIG, 6)[::2, ::3],
        np.arange(BIG).astype("M8[s]"),
        np.zeros(BIG, [("a", "i8"), ("b", "M8[ns]")]),
        np.arange(BIG * 2, dtype=">i4")[::-1],
        np.broadcast_to(np.float64(2), (BIG, BIG)),
    ],
    ids=["contiguous", "F", "sliced", "datetime64", "record", "backwards", "broadcast"],
)
def test_an_array_inside_an_object_shares_the_parts(store_one, array):
    meta, parts, root = store_one({"x": [array]})

    found = unpack(meta, parts)["x"][0]

    assert (meta.kind, len(parts)) == (PICKLE, 2)
    assert parts[1].nbytes == array.nbytes
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype
    assert found.flags.f_contiguous or not array.flags.f_contiguous
    assert found.base is root
    assert not found.flags.writeable


def test_packing_an_object_copies_no_array_of_it():
    flat, strided = np.arange(1000.0), np.zeros((100, 100))[::2, ::3]

    _, first, second = pack([flat, strided]).buffers

    assert np.frombuffer(first).ctypes.data == flat.ctypes.data
    assert second is strided


def test_buffers_below_the_limit_stay_in_the_stream(store_one):
    small, enough = np.zeros(BIG - 1), np.zeros(BIG)

    packed = pack([small, enough, small[::2]])

    assert [buffer.nbytes for buffer in packed.buffers[1:]] == [enough.nbytes]
    assert packed.nbytes == sum(buffer.nbytes for buffer in packed.buffers)


@pytest.mark.parametrize("size", [1, BIG - 1, BIG, 1000])
@pytest.mark.parametrize("writable", [True, False], ids=["from writable", "from read-only"])
def test_copied_out_arrays_are_writable_and_share_nothing(store_one, size, writable):
    array = np.arange(float(size))
    array.flags.writeable = writable
    meta, parts, root = store_one({"x": array})

    found = copy_out(meta, parts)["x"]
    found += 1

    assert found.tolist() == (array + 1).tolist()
    assert not np.shares_memory(found, root)
    assert unpack(meta, parts)["x"].tolist() == array.tolist()


def test_an_array_that_came_out_read_only_is_writable_over_writable_parts(store_one):
    first = unpack(*store_one([np.arange(1000.0)])[:2])
    meta, parts, root = store_one(first, writable=True)

    found = unpack(meta, parts)[0]
    found[0] = 7

    assert not first[0].flags.writeable
    assert np.shares_memory(found, root)


def test_an_array_that_an_objects_reduction_made_up_outlives_the_pickling(store_one):
    found = unpack(*store_one(Reducible(lambda: (list, ([np.full(100_000, 3.0)],))))[:2])

    assert (found[0] == 3.0).all()


def test_identity_and_recursion_survive(store_one):
    shared = [0]
    array = np.arange(1000.0)
    circle: list[object] = [shared, shared, array, {"again": array}]
    circle.append(circle)

    found = unpack(*store_one(circle)[:2])

    assert found[0] is found[1]
    assert found[2] is found[3]["again"]
    assert found[4] is found


def test_a_table_shares_its_numbers_dates_and_strings(store_one):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    rows = 5000
    table = pd.DataFrame(
        {
            "x": np.arange(float(rows)),
            "when": pd.date_range("2020-01-01", periods=rows, freq="min"),
            "name": pd.array([f"name {i}" for i in range(rows)], dtype="string[pyarrow]"),
        }
    )

    meta, parts, root = store_one(table)
    found = unpack(meta, parts)

    assert (meta.type, meta.shape, meta.dtype) == ("pandas.DataFrame", (rows, 3), None)
    assert parts[0].nbytes < 5000
    assert meta.nbytes - parts[0].nbytes > rows * (8 + 8 + 8)
    assert np.shares_memory(found["x"].to_numpy(), root)
    assert np.shares_memory(found["when"].to_numpy(), root)
    text = np.frombuffer(found["name"].array.__arrow_array__().chunk(0).buffers()[2], np.uint8)
    assert np.shares_memory(text, root)
    pd.testing.assert_frame_equal(found, table)
    copied = copy_out(meta, parts)
    copied.loc[0, "x"] = -1
    assert found.loc[0, "x"] == 0


@pytest.mark.parametrize(
    ("obj", "type_", "shape", "dtype"),
    [
        ([1, 2], "list", None, None),
        (None, "NoneType", None, None),
        (np.float32(1), "numpy.float32", (), "float32"),
        (np.ma.masked_array(np.zeros((2, 3))), "numpy.ma.MaskedArray", (2, 3), "float64"),
        (np.zeros((2, 3), object), "numpy.ndarray", (2, 3), "object"),
        (np.ndarray, "type", None, None),
        (io.BytesIO(), "_io.BytesIO", None, None),
    ],
)
def test_people_are_told_type_shape_and_dtype(obj, type_, shape, dtype):
    packed = pack(obj)

    assert (packed.type.replace("numpy.ma.core.", "numpy.ma."), packed.shape, packed.dtype) == (type_, shape, dtype)


ODD_SHAPES = """
class Odd:
    @property
    def shape(self):
        raise RuntimeError("not today")
class Words:
    shape = ("wide", "tall")
class Half:
    shape = (3,)
    @property
    def dtype(self):
        raise RuntimeError("not today")
"""


@pytest.mark.parametrize(("name", "shape"), [("Odd", None), ("Words", None), ("Half", (3,))])
def test_an_odd_shape_does_not_make_a_put_fail(name, shape):
    packed = pack(defined_in_a_notebook(ODD_SHAPES, name)())

    assert (packed.type, packed.shape, packed.dtype) == (f"__main__.{name}", shape, None)


CODE = """
import enum
def double(x):
    return 2 * x
def adder(n):
    def add(x):
        return x + n
    return add
add_three = adder(3)
shout = lambda text: text.upper()
class Point:
    def __init__(self, x):
        self.x = x
    def twice(self):
        return double(self.x)
class Bare:
    pass
point = Point(4)
bound = point.twice
class Colour(enum.Enum):
    RED = 1
red = Colour.RED
code = compile("None", "cell", "eval")
nested = {"deep": [(shout,)]}
"""


@pytest.mark.parametrize(
    ("name", "use", "expected"),
    [
        ("double", lambda f: f(4), 8),
        ("add_three", lambda f: f(4), 7),
        ("shout", lambda f: f("a"), "A"),
        ("Point", lambda cls: cls(5).twice(), 10),
        ("point", lambda p: p.twice(), 8),
        ("bound", lambda f: f(), 8),
        ("Bare", lambda cls: cls.__name__, "Bare"),
        ("code", eval, None),
        ("red", lambda c: c.value, 1),
        ("nested", lambda d: d["deep"][0][0]("b"), "B"),
    ],
)
def test_what_a_notebook_defines_works_and_is_known_to_be_code(store_one, name, use, expected):
    meta, parts, _ = store_one(defined_in_a_notebook(CODE, name))

    assert meta.by_value
    assert use(unpack(meta, parts)) == expected


@pytest.mark.parametrize(
    "obj",
    [
        {"a": [1, "b"]},
        np.zeros(3),
        np.mean,
        textwrap.dedent,
        io.StringIO,
        type(None),
        Ellipsis,
        ModuleType,
        type(lambda: 0),
    ],
    ids=repr,
)
def test_what_is_imported_by_name_is_no_code(obj):
    assert not pack(obj).by_value


def test_code_of_another_python_is_refused_with_both_versions(store_one):
    meta, parts, _ = store_one(lambda: 1, python=(2, 7))

    for read in (unpack, copy_out):
        with pytest.raises(PythonMismatchError, match=rf"Python 2\.7; this is Python 3\.{sys.version_info[1]}"):
            read(meta, parts)
        with pytest.raises(PythonMismatchError, match=r"classes that its publisher defined in a notebook"):
            read(meta, parts)
        with pytest.raises(PythonMismatchError, match=r"classes that première\.ipynb defined in a notebook"):
            read(meta, parts, "première.ipynb")


def test_data_of_another_python_is_read(store_one):
    for obj in ({"a": 1}, np.arange(3).tolist()):
        meta, parts, _ = store_one(obj, python=(2, 7))

        assert unpack(meta, parts) == obj


def test_a_missing_module_is_named_with_what_to_do(store_one, monkeypatch):
    module = ModuleType("absent_package")
    module.Thing = type("Thing", (), {"__module__": "absent_package"})
    monkeypatch.setitem(sys.modules, "absent_package", module)
    meta, parts, _ = store_one(module.Thing())
    monkeypatch.delitem(sys.modules, "absent_package")

    with pytest.raises(
        DeserializeError, match=r"absent_package\.Thing.*'absent_package' is missing.*Install"
    ) as caught:
        unpack(meta, parts)

    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_a_missing_attribute_is_named(store_one, monkeypatch):
    module = ModuleType("shrunk_package")
    module.Thing = type("Thing", (), {"__module__": "shrunk_package"})
    monkeypatch.setitem(sys.modules, "shrunk_package", module)
    meta, parts, _ = store_one([module.Thing])
    del module.Thing

    with pytest.raises(DeserializeError, match=r"'Thing'.*version that the publisher has"):
        unpack(meta, parts)


def test_damaged_streams_are_deserialize_errors(store_one):
    meta, parts, _ = store_one([np.zeros(1000)])

    for damaged in ([], parts[:1], [parts[0][:-5], parts[1]], [parts[0], parts[1][:-1]], [parts[1], parts[0]]):
        with pytest.raises(DeserializeError, match="cannot rebuild this list"):
            unpack(meta, damaged)


@pytest.mark.parametrize("error", [ValueError("boom"), RuntimeError("boom"), KeyError("boom"), RuntimeError(1)])
def test_an_error_of_the_objects_own_code_becomes_unpicklable_with_its_cause(error):
    with pytest.raises(UnpicklableError, match=r"obj\['x'\]: ") as caught:
        pack({"x": Reducible(lambda: raise_this(error))})

    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, SystemExit])
def test_interrupts_and_want_of_memory_pass_through_untouched(store_one, error):
    with pytest.raises(error):
        pack([Reducible(lambda: raise_this(error()))])

    meta, parts, _ = store_one(Reducible(lambda: (raise_this, (error(),))))
    with pytest.raises(error):
        unpack(meta, parts)


def test_want_of_memory_that_passes_is_still_told():
    calls = []

    def first_time_only():
        calls.append(1)
        return raise_this(MemoryError()) if len(calls) == 1 else (int, ())

    with pytest.raises(MemoryError):
        pack([Reducible(first_time_only)])


def test_an_object_nested_too_deeply_says_so():
    deep: list[object] = []
    for _ in range(50_000):
        deep = [deep]

    with pytest.raises(UnpicklableError, match="nested too deeply"):
        pack(deep)


def test_neither_pandas_nor_arrow_nor_ipython_is_imported():
    program = """
        import sys
        import numpy as np
        from jupyter_shm.errors import UnpicklableError
        from jupyter_shm.serial import culprit, dtypes, meta, pack, pickler, unpack
        pack.pack({"a": np.zeros(100)})
        try:
            pack.pack(i for i in ())
        except UnpicklableError:
            pass
        print(*sorted({"pandas", "pyarrow", "IPython", "torch", "polars"} & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == ""
