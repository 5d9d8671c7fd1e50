"""The path to what cannot be pickled, as people would write it."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict, defaultdict, deque
from dataclasses import dataclass, field

import numpy as np
import pytest

from jupyter_shm.errors import UnpicklableError
from jupyter_shm.serial import culprit
from jupyter_shm.serial.pack import pack

LOCK = threading.Lock()


class Holder:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)

    def method(self):
        return self


class Slotted:
    __slots__ = ("lock", "other")

    def __init__(self, lock):
        self.lock = lock
        self.other = 1


class MixedSlots(Slotted):
    pass


@dataclass
class Config:
    name: str = "x"
    locks: list[object] = field(default_factory=lambda: [1, LOCK])


class LeavesItOut:
    """Drops its lock, and fails for another reason that the lock must not be blamed for."""

    def __init__(self):
        self.lock = LOCK
        self.lines = (line for line in ())

    def __getstate__(self):
        return {"lines": self.lines}


class HashedLock:
    __hash__ = object.__hash__

    def __init__(self):
        self.lock = LOCK

    def __repr__(self):
        return "HashedLock()"


class BadRepr(HashedLock):
    def __repr__(self):
        raise RuntimeError("no")


class Fails:
    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        raise self.error


class Listed(list):
    pass


def closing_over(value, unrelated=0):
    def inner():
        return value, unrelated

    return inner


def with_default(value):
    def inner(a=1, b=value, *, c=0):
        return a, b, c

    return inner


def in_a_circle():
    first, second = Holder(), Holder()
    first.second, second.first = second, first
    first.lock = LOCK
    return first


def class_with_lock():
    return type("Local", (), {"__module__": "__main__", "lock": LOCK})


def global_user():
    space = {"__name__": "__main__", "lock": LOCK, "number": 3}
    exec("def use():\n    return number, lock", space)
    return space["use"]


def array_of(*values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


NO_LOCK = r"cannot pickle '_thread\.lock' object"
PATHS = {
    "itself": (LOCK, "obj"),
    "dict": ({"config": {1: LOCK}}, "obj['config'][1]"),
    "key": ({HashedLock(): 1}, "obj<key HashedLock()>.lock"),
    "key without repr": ({BadRepr(): 1}, "obj<key <BadRepr>>.lock"),
    "long key": ({"k" * 100: LOCK}, "obj['" + "k" * 56 + "...]"),
    "list and tuple": ([0, (1, LOCK)], "obj[1][1]"),
    "set": ({HashedLock()}, "obj<member HashedLock()>.lock"),
    "frozenset": (frozenset([HashedLock()]), "obj<member HashedLock()>.lock"),
    "attribute": ({"config": Holder(lock=LOCK, fine=1)}, "obj['config'].lock"),
    "slots": ([Slotted(LOCK)], "obj[0].lock"),
    "slots and dict": ([MixedSlots(LOCK)], "obj[0].lock"),
    "dataclass": (Config(), "obj.locks[1]"),
    "OrderedDict": (OrderedDict(a=1, b=LOCK), "obj['b']"),
    "defaultdict": (defaultdict(list, a=[LOCK]), "obj['a'][0]"),
    "deque": (deque([1, LOCK]), "obj[1]"),
    "list subclass": (Listed([1, LOCK]), "obj[1]"),
    "bound method": (Holder(lock=LOCK).method, "obj.__self__.lock"),
    "partial": (functools.partial(print, 1, LOCK), "obj.args[1]"),
    "partial function": (functools.partial(closing_over(LOCK)), "obj.func<closure variable 'value'>"),
    "closure": ([closing_over(LOCK)], "obj[0]<closure variable 'value'>"),
    "inner closure": (
        closing_over(1, closing_over(LOCK)),
        "obj<closure variable 'unrelated'><closure variable 'value'>",
    ),
    "default": (with_default(LOCK), "obj.__defaults__[1]"),
    "global": (global_user(), "obj<global 'lock'>"),
    "class": (class_with_lock(), "obj.lock"),
    "instance of such a class": ([class_with_lock()()], "obj[0].__class__.lock"),
    "object array": ({"a": array_of(1, "b", LOCK)}, "obj['a'][2]"),
    "object array 2-d": (array_of(1, 2, 3, LOCK).reshape(2, 2), "obj[(1, 1)]"),
    "circle": (in_a_circle(), "obj.lock"),
    "million": ([0] * 1_000_000 + [LOCK], "obj[1000000]"),
    "deep": (functools.reduce(lambda inner, _: [inner], range(20), LOCK), "obj" + "[0]" * 20),
}


@pytest.mark.parametrize("case", PATHS)
def test_the_path_leads_to_the_culprit(case):
    obj, path = PATHS[case]

    with pytest.raises(UnpicklableError, match=NO_LOCK) as caught:
        pack(obj)

    assert f": {path}: cannot pickle" in str(caught.value)
    assert "Nothing was stored" in str(caught.value)


def test_what_an_object_leaves_out_is_not_blamed():
    with pytest.raises(UnpicklableError, match=r"obj\.lines: cannot pickle 'generator' object"):
        pack(LeavesItOut())


def test_a_table_names_column_and_row():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame({"a": [1, 2], "b": pd.Series([1, LOCK], dtype=object)})

    with pytest.raises(UnpicklableError, match=r"this pandas.DataFrame: obj\['b'\]\.iloc\[1\]: cannot pickle"):
        pack(table)


def test_an_error_that_does_not_explain_itself_is_shown_with_its_class():
    with pytest.raises(UnpicklableError, match=r"obj\[1\]\.x: ZeroDivisionError: boom"):
        pack([1, Holder(x=Fails(ZeroDivisionError("boom")))])


@pytest.mark.parametrize("mode", ["r", "w", "rb", "wb"])
def test_open_files_are_refused(tmp_path, mode):
    path = tmp_path / "file"
    path.touch()

    with path.open(mode) as file, pytest.raises(UnpicklableError, match=r"obj\['log'\]: [Cc]annot pickle"):
        pack({"log": file})


def test_a_search_that_takes_too_long_tells_the_first_error(monkeypatch):
    monkeypatch.setattr(culprit, "MAX_PROBES", 5)

    with pytest.raises(UnpicklableError, match=f"this list: {NO_LOCK}"):
        pack([0] * 1000 + [LOCK])


def test_a_path_is_not_followed_for_ever(monkeypatch):
    monkeypatch.setattr(culprit, "MAX_DEPTH", 3)

    with pytest.raises(UnpicklableError, match=rf"obj\[0\]\[0\]\[0\]: {NO_LOCK}"):
        pack(functools.reduce(lambda inner, _: [inner], range(20), LOCK))


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupt_during_the_search_passes_through(error):
    calls = []

    class SecondTime:
        def __reduce__(self):
            calls.append(1)
            raise ValueError if len(calls) == 1 else error

    with pytest.raises(error):
        pack([SecondTime()])


def test_an_object_that_can_be_pickled_the_second_time_keeps_its_error():
    calls = []

    class OnlyOnce:
        def __reduce__(self):
            calls.append(1)
            if len(calls) == 1:
                raise ValueError("not yet")
            return int, ()

    with pytest.raises(UnpicklableError, match="obj: ValueError: not yet"):
        pack([OnlyOnce()])
