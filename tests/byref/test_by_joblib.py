"""Arrays and tables that live in the store cross loky and joblib by reference; joblib writes no file for them."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import crossing_tasks as tasks
import joblib
import loky
import numpy as np
import pytest
from loky.backend import reduction

import jupyter_shm as shm
from jupyter_shm.testing.private import eventually

pytestmark = pytest.mark.may_leak("descriptors", "children", reason="loky's resource tracker serves the whole process")


@pytest.fixture
def pool(store):
    with loky.ProcessPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def workers(store):
    """joblib's processes are those of the whole process: fresh ones, gone afterwards."""
    yield
    joblib.externals.loky.reusable_executor._executor.shutdown(kill_workers=True)


@pytest.mark.parametrize("part", [slice(None), slice(-5, 50, -3)], ids=["whole", "backwards"])
def test_an_array_crosses_loky_by_reference_and_comes_back_so(store, by_joblib, pool, part):
    x = store.get("x")[part]

    assert len(reduction.dumps(x)) < 600
    assert pool.submit(tasks.look, x).result()[4:7] == (float(x.sum()), False, True)
    back = pool.submit(tasks.every_second, x).result()

    assert pool.submit(tasks.integrated).result() == ["joblib"]
    assert tasks.is_in_store(back)
    assert np.array_equal(back, x[::2])


def test_a_table_crosses_loky_by_reference(store, by_joblib, pool):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    store.put(
        pd.DataFrame({"n": np.arange(50_000), "s": pd.array(["a", "bc"] * 25_000, dtype="string[pyarrow]")}), "table"
    )
    stored = store.get("table")

    assert len(reduction.dumps(stored)) < 8000
    assert pool.submit(tasks.table_facts, stored).result() == ("DataFrame", 50_000 * 49_999 // 2, 1, ["a", "bc"])


def test_joblib_writes_no_file_for_a_stored_array(store, by_joblib, workers, tmp_path):
    x = store.get("x")

    with joblib.Parallel(2, max_nbytes="1K", temp_folder=str(tmp_path)) as parallel:
        seen = parallel(joblib.delayed(tasks.look)(part) for part in np.split(x, 8))
        (back,) = parallel([joblib.delayed(tasks.every_second)(x)])
        written = [path for path in Path(tmp_path).rglob("*") if path.is_file()]

    assert written == []
    assert [facts[4:7] for facts in seen] == [(float(part.sum()), False, True) for part in np.split(x, 8)]
    assert tasks.is_in_store(back)
    del back
    assert eventually(lambda: store.stats().objects == 1)


def test_joblib_goes_on_as_ever_with_other_arrays(store, by_joblib, workers, tmp_path):
    mine = np.arange(1 << 17, dtype=float)

    with joblib.Parallel(2, max_nbytes="1K", temp_folder=str(tmp_path)) as parallel:
        ((kind, *_, total, _, is_stored, _),) = parallel([joblib.delayed(tasks.look)(mine)])

    assert (kind, total, is_stored) == ("memmap", float(mine.sum()), False)


def test_joblibs_own_pool_of_multiprocessing_is_sent_references(store, by_joblib):
    x = store.get("x")

    with joblib.parallel_config("multiprocessing", n_jobs=2):
        seen = joblib.Parallel()(joblib.delayed(tasks.look)(part) for part in np.split(x, 4))

    assert all(facts[5:7] == (False, True) for facts in seen)


def test_threads_that_pickle_at_once_do_not_share_a_message(store, by_joblib):
    x = store.get("x")

    def there_and_back(_):
        return pickle.loads(reduction.dumps([x, x[::2]]))[1].sum()

    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(there_and_back, range(100))) == {x[::2].sum()}
    assert eventually(lambda: store.stats().objects == 1)


def test_when_it_is_closed_everything_is_as_it_was(store):
    memmapping = joblib._memmapping_reducer
    before = reduction.dump, dict(reduction._dispatch_table), vars(memmapping.ArrayMemmapForwardReducer)["__call__"]

    shm.integrate("joblib").close()

    after = reduction.dump, dict(reduction._dispatch_table), vars(memmapping.ArrayMemmapForwardReducer)["__call__"]
    assert after == before
    assert memmapping.reduce_array_memmap_backward.__module__ == memmapping.__name__
    assert len(reduction.dumps(store.get("x"))) > 1 << 20
