"""What leads to an array, through whatever people keep things in; and what does not, because everything would."""

from __future__ import annotations

import functools
import gc
import sys
import types
import weakref
from collections import OrderedDict, deque
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from jupyter_shm.reach import Reach, globals_of_modules

CLASS_OF_A_NOTEBOOK = "__main__"


def root_of(nbytes: int = 4096) -> np.ndarray:
    """As the client makes them: an array over a raw map."""
    return np.frombuffer(memoryview(bytearray(nbytes)), np.uint8)


class Slotted:
    __slots__ = ("kept",)

    def __init__(self, kept: object) -> None:
        self.kept = kept


class Unaskable:
    """Answers each question with an error, but the collector's."""

    def __init__(self, kept: object) -> None:
        object.__setattr__(self, "kept", kept)

    def __getattribute__(self, name: str) -> object:
        raise RuntimeError(name)


def a_closure(view):
    return lambda: view


def a_generator(view):
    def steps():
        mine = view
        yield mine

    steps = steps()
    next(steps)
    return steps


def an_error(view):
    def fails(_argument):
        raise ValueError("no")

    try:
        fails(view)
    except ValueError as error:
        return error.with_traceback(error.__traceback__.tb_next)  # without our own frame, which has the view anyway


def a_class_of_the_notebook(view):
    return type("Settings", (), {"__module__": CLASS_OF_A_NOTEBOOK, "table": view})


def an_array_of_objects(view):
    array = np.empty(2, object)
    array[1] = [view]
    return array


def a_cycle(view):
    cycle = [view]
    cycle.append(cycle)
    return cycle


LEADS = {
    "the view": lambda view: view,
    "a view of the view": lambda view: view[3:][::2],
    "another dtype": lambda view: view.view(np.int64).reshape(2, -1).T,
    "a record": lambda view: view.view([("a", "f8"), ("b", "f8")])[3],
    "a subclass": lambda view: np.ma.masked_array(view, mask=False),
    "an iterator": lambda view: iter([view]),
    "a flat iterator": lambda view: view.flat,
    "a memoryview": memoryview,
    "a list": lambda view: [1, [2, (view,)]],
    "a dict of arrays only": lambda view: {"a": view},
    "an ordered dict": lambda view: OrderedDict(a={"b": view}),
    "a deque": lambda view: deque([view]),
    "an instance": lambda view: SimpleNamespace(a=SimpleNamespace(b=view)),
    "slots": Slotted,
    "a default": lambda view: lambda a=view: a,
    "a closure": a_closure,
    "a method": lambda view: Slotted(view).__repr__,
    "a method of the view": lambda view: view.sum,
    "a partial": lambda view: functools.partial(max, view),
    "a generator": a_generator,
    "an error": an_error,
    "a class": a_class_of_the_notebook,
    "an array of objects": an_array_of_objects,
    "a cycle": a_cycle,
    "something that fails": Unaskable,
}


def leads(start: object, root: np.ndarray, **options: object) -> bool:
    return id(start) in Reach([start], [root], globals_of_modules().values(), **options).leading_to([root])


@pytest.mark.parametrize("kind", LEADS)
def test_what_keeps_a_view_is_found(kind):
    root = root_of()

    assert leads(LEADS[kind](root[64:]), root)


def tables(view):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": view.view(np.float64), "b": "text"}, copy=False)
    return {"frame": frame, "series": frame["a"][3:], "index": pd.Index(view, copy=False), "rows": frame.iloc[2:9]}


@pytest.mark.parametrize("kind", ["frame", "series", "index", "rows"])
def test_pandas_is_followed(kind):
    root = root_of()

    assert leads(tables(root[64:])[kind], root)


def arrow_things(view):
    pa = pytest.importorskip("pyarrow")
    buffer = pa.py_buffer(view)
    array = pa.Array.from_buffers(pa.float64(), view.nbytes // 8, [None, buffer])
    table = pa.table({"a": pa.chunked_array([array[:2], array[5:]])})
    words = pa.DictionaryArray.from_arrays(pa.array([0, 1]), array[:2])
    return {"buffer": buffer, "array": array[3:], "table": table, "batch": table.to_batches()[0], "words": words}


@pytest.mark.parametrize("kind", ["buffer", "array", "table", "batch", "words"])
def test_arrow_whose_memory_no_collector_sees_is_found_by_its_address(kind):
    root = root_of()
    other = root_of()

    thing = [arrow_things(root[64:])[kind]]

    assert leads(thing, root)
    assert not leads(thing, other)


def test_a_column_of_arrow_in_a_table_of_pandas_is_found():
    pd, pa = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    root = root_of()
    array = pa.Array.from_buffers(pa.float64(), 8, [None, pa.py_buffer(root[64:128])])

    assert leads(pd.DataFrame({"a": pd.arrays.ArrowExtensionArray(array)}), root)


class Tensor:
    """As those of torch, as far as they are asked."""

    def __init__(self, view: np.ndarray) -> None:
        self._address = view.ctypes.data

    def data_ptr(self) -> int:
        return self._address


Tensor.__module__ = "torch"


def test_a_tensor_over_the_memory_is_found_by_its_address():
    root, other = root_of(), root_of()

    assert leads(Tensor(root[64:]), root)
    assert not leads(Tensor(other), root)


def a_function(view):
    """Its globals have the view; so has everything in this module."""
    return a_function


A_VIEW: list[np.ndarray] = []

LEADS_NOT = {
    "a copy": lambda view: view.copy(),
    "a function": a_function,
    "a function of no module": lambda view: eval("lambda: 0", {"view": view}),
    "a module": lambda _: sys.modules[__name__],
    "a class of a module": lambda _: Slotted,
    "a weak reference": weakref.ref,
    "a dead proxy": lambda _: [weakref.proxy(Unaskable(None))],
    "a released memoryview": lambda view: released(memoryview(view)),
    "numbers": lambda _: [1, 2.0, "three", None],
}


def released(view: memoryview) -> memoryview:
    view.release()
    return view


@pytest.mark.parametrize("kind", LEADS_NOT)
def test_what_keeps_no_view_is_not_found(kind):
    root = root_of()
    A_VIEW[:] = [root[64:]]

    found = leads(LEADS_NOT[kind](A_VIEW[0]), root)

    A_VIEW.clear()
    assert not found


def test_nothing_leads_through_what_is_stopped_at():
    root = root_of()
    inner = {"a": root}

    assert id(inner) not in Reach([[inner]], [root], [inner]).leading_to([root])


def test_instances_of_an_opaque_class_lead_nowhere():
    root = root_of()
    inner = Slotted(root)

    found = Reach([[inner], inner], [root], opaque=[Slotted]).leading_to([root])

    assert found == {id(root)}


def test_each_of_several_arrays_has_its_own_ways():
    one, two = root_of(), root_of()
    first, second, both = [one[1:]], [two[1:]], (one, two)
    reach = Reach([first, second, both], [one, two])

    found = [{id(start) in reach.leading_to([root]) for start in starts} for root, starts in
             ((one, (first, both)), (two, (second, both)), (one, (second,)), (two, (first,)))]  # fmt: skip

    assert found == [{True}, {True}, {False}, {False}]


def test_what_lies_near_is_found_before_the_limit_is_reached():
    root = root_of()
    deep = [[[[[root]]]]]
    many = [[] for _ in range(1000)]

    assert not leads([many, deep], root, limit=100)
    assert leads([root, many, deep], root, limit=100)


def test_nothing_is_kept_when_the_search_is_over():
    root = root_of()
    kept = Unaskable(root[64:])
    alive = weakref.ref(kept)

    Reach([kept], [root], globals_of_modules().values()).leading_to([root])
    gc.disable()
    try:
        del kept
        assert alive() is None
    finally:
        gc.enable()


class NotLoadedYet(ModuleType):
    def __getattribute__(self, name: str) -> object:
        pytest.fail(f"asked for {name}")


def test_what_is_no_module_and_what_is_not_loaded_yet_does_no_harm(monkeypatch):
    monkeypatch.setitem(sys.modules, "no_module", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "absent", None)
    monkeypatch.setitem(sys.modules, "later", NotLoadedYet("later"))

    found = globals_of_modules()

    assert found["types"] is vars(types)
    assert found["later"]["__name__"] == "later"
    assert {"no_module", "absent"}.isdisjoint(found)
