"""What ``integrate`` is told, and how it ends."""

from __future__ import annotations

import subprocess
import sys
from multiprocessing import connection, reduction

import numpy as np
import pytest

import jupyter_shm as shm
from jupyter_shm.workers import integration
from jupyter_shm.workers.by_reference import integrated


@pytest.mark.parametrize("names", [(), ("pickle",), ("multiprocessing", "Dask"), (None,)], ids=str)
def test_an_unknown_library_is_refused_with_those_that_are_known_and_nothing_begins(names):
    with pytest.raises(shm.errors.InvalidArgumentError, match="'multiprocessing', 'joblib', 'dask'"):
        shm.integrate(*names)

    assert integrated == []


def test_a_library_that_is_not_installed_is_refused(monkeypatch):
    monkeypatch.setitem(integration.LIBRARIES, "dask", ("via_dask", ("no_such_package_here",)))

    with pytest.raises(shm.errors.InvalidArgumentError, match="needs no_such_package_here, which is not installed"):
        shm.integrate("multiprocessing", "dask")

    assert integrated == []


def test_twice_is_as_good_as_once_and_what_is_closed_is_what_that_call_has_begun():
    before = dict(reduction.ForkingPickler._extra_reducers), connection._ConnectionBase.send

    first = shm.integrate("multiprocessing")
    second = shm.integrate("multiprocessing", "multiprocessing")
    assert np.ndarray in reduction.ForkingPickler._extra_reducers
    second.close()
    assert np.ndarray in reduction.ForkingPickler._extra_reducers
    first.close()
    first.close()

    assert (dict(reduction.ForkingPickler._extra_reducers), connection._ConnectionBase.send) == before
    assert "dump" not in vars(reduction.ForkingPickler)
    assert integrated == []


def test_a_reducer_of_somebody_else_comes_back():
    def theirs(array):
        return np.asarray, (array.tolist(),)

    reduction.ForkingPickler.register(np.ndarray, theirs)
    try:
        with shm.integrate("multiprocessing"):
            assert reduction.ForkingPickler._extra_reducers[np.ndarray] is not theirs
        assert reduction.ForkingPickler._extra_reducers[np.ndarray] is theirs
    finally:
        del reduction.ForkingPickler._extra_reducers[np.ndarray]


def test_what_is_not_integrated_is_not_imported():
    code = (
        "import sys, jupyter_shm as shm; shm.integrate('multiprocessing')\n"
        "print(sorted({'loky', 'joblib', 'distributed', 'dask', 'pandas', 'pyarrow'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50)

    assert done.stdout.strip() == "[]"
