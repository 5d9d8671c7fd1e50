"""How functions reach workers: by name, or as code, and when anew."""

from __future__ import annotations

import sys
import textwrap
from types import ModuleType

import numpy as np
import pytest

import jupyter_shm as shm
from jupyter_shm.workers.functions import Named, Source, name_of

COUNT = 0


def plain(x):
    return x


@shm.remote
def count_here():
    global COUNT  # noqa: PLW0603 - the state of a module is what this is about
    COUNT += 1
    return COUNT


@pytest.fixture
def cell():
    """Runs code as a notebook's cell would: in a module that nobody can import."""
    module = ModuleType("__main__of_a_notebook")
    module.shm, module.np = shm, np
    module.__name__ = "__main__"

    def run(code):
        exec(textwrap.dedent(code), module.__dict__)
        return module

    yield run
    module.__dict__.clear()  # pytest holds what a fixture gave until all is counted


def test_a_function_that_can_be_imported_goes_by_its_name():
    assert name_of(plain, plain) == Named(__name__, "plain")
    assert Named(__name__, "plain").find() is plain
    assert name_of(count_here, count_here.function) == Named(__name__, "count_here")
    assert name_of(None, lambda: 1) is None


def test_a_module_keeps_its_state_in_its_worker(workers):
    shm.init(workers=1)

    assert [shm.get(count_here.remote()) for _ in range(3)] == [1, 2, 3]
    assert COUNT == 0


def test_a_function_is_pickled_once_for_each_definition_and_anew_when_what_it_uses_was_redefined(cell):
    module = cell(
        """
        SHIFT = 1
        def helper(x): return x + SHIFT
        def f(x): return [helper(y) for y in x]
        """
    )
    source = Source(module.f)
    first = source.definition()

    assert source.definition() is first
    module.unrelated = 5
    assert source.definition() is first
    cell("SHIFT = 2")
    second = source.definition()
    assert second.digest != first.digest
    cell("def helper(x): return x - SHIFT")
    assert source.definition().digest not in (first.digest, second.digest)
    assert source.definition() is source.definition()


@pytest.mark.parametrize("value", ["[1]", "{}", "np.zeros(3)", "(1, [2])"])
def test_what_uses_something_that_changes_in_place_is_pickled_for_each_call(cell, value):
    source = Source(cell(f"TABLE = {value}\ndef f(): return TABLE").f)

    first = source.definition()
    assert source.definition() is not first
    assert source.definition().digest == first.digest


def test_remote_functions_use_each_other_and_themselves(cell, workers):
    module = cell(
        """
        @shm.remote
        def double(x): return 2 * x
        @shm.remote
        def countdown(n): return shm.get(double.remote(0)) if n == 0 else shm.get(countdown.remote(n - 1)) + 1
        """
    )

    assert shm.get(module.countdown.remote(5), timeout=30) == 5
    cell("@shm.remote\ndef double(x): return 100")
    assert shm.get(module.countdown.remote(5), timeout=30) == 105


def test_large_globals_go_through_the_store(cell, workers):
    module = cell(
        "TABLE = np.ones(1 << 18)\n@shm.remote\ndef total(): return float(TABLE.sum()), TABLE.flags.writeable"
    )

    assert shm.get(module.total.remote()) == (1 << 18, False)
    module.TABLE[:] = 2
    assert shm.get(module.total.remote())[0] == 2 << 18


def test_a_worker_forgets_functions_that_are_many(workers):
    shm.init(workers=1)
    functions = [shm.remote(lambda n=n: n) for n in range(150)]

    for _ in range(2):
        assert shm.get([function.remote() for function in functions]) == list(range(150))


def test_settings_are_checked_and_kept():
    other = count_here.options(num_returns=2, retries=3)

    assert (other.num_returns, other.retries, count_here.num_returns) == (2, 3, 1)
    assert (other.__name__, other.__module__) == ("count_here", __name__)
    for bad in ({"num_returns": 0}, {"retries": -1}, {"num_returns": 1.5}, {"retries": True}):
        with pytest.raises(shm.errors.InvalidArgumentError, match=next(iter(bad))):
            shm.remote(**bad)(plain)
    with pytest.raises(shm.errors.InvalidArgumentError, match="decorates a function"):
        shm.remote(5)
    assert sys.modules[__name__]
