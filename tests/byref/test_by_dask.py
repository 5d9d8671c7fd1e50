"""Arrays and tables that live in the store cross Dask's workers of this machine by reference."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator

import crossing_tasks as tasks
import numpy as np
import pytest

import jupyter_shm as shm
from jupyter_shm.client.store import Store
from jupyter_shm.testing.private import eventually
from jupyter_shm.workers import via_dask

distributed = pytest.importorskip("distributed")

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # Dask's own, on every Python another one
    pytest.mark.may_leak(
        "descriptors", "threads", "children", "segments", reason="Dask's loop serves the whole process"
    ),
]


@pytest.fixture
def client(store: Store) -> Iterator[object]:
    """Of two workers, and of a scheduler in this process."""
    with (
        warnings.catch_warnings(),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def by_dask(client) -> Iterator[None]:
    with shm.integrate("dask"):
        yield


def test_an_array_crosses_as_an_argument_by_scatter_and_in_a_result(client, by_dask, store):
    x = store.get("x")

    for view in (x, x[100:], x[::-3], x.reshape(256, 512)[3:, ::2]):
        seen = client.submit(tasks.look, view, pure=False).result()
        assert seen[4:7] == (float(view.sum()), False, True)
        assert seen[1:3] == (view.shape, view.strides)
    scattered = client.scatter(x[::-3], hash=False)
    assert client.submit(tasks.look, scattered, pure=False).result()[4:7] == (float(x[::-3].sum()), False, True)
    back = client.submit(tasks.every_second, x, pure=False).result()
    assert tasks.is_in_store(back)
    assert np.array_equal(back, x[::2])


def test_what_is_sent_once_may_be_read_by_every_worker(client, by_dask, store):
    x = store.get("x")

    everywhere = client.scatter(x, broadcast=True, hash=False)
    workers = list(client.scheduler_info()["workers"])
    seen = [client.submit(tasks.look, everywhere, workers=[name], pure=False).result() for name in workers]

    assert [facts[4:7] for facts in seen] == [(float(x.sum()), False, True)] * 2
    assert len({facts[7] for facts in seen}) == 2


def test_a_function_of_a_notebook_gets_references_too(client, by_dask, store):
    x = store.get("x")
    spaces = {"__name__": "__main__", "look": tasks.look}
    exec("def f(x): return look(x)[4:7]", spaces)

    assert client.submit(spaces["f"], x, pure=False).result() == (float(x.sum()), False, True)


def test_a_table_crosses(client, by_dask, store):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    store.put(pd.DataFrame({"n": np.arange(50_000), "s": ["a", "bc"] * 25_000}), "table")

    seen = client.submit(tasks.table_facts, store.get("table"), pure=False).result()

    assert seen == ("DataFrame", 50_000 * 49_999 // 2, 1, ["a", "bc"])


def test_what_is_private_arrives_as_ever(client, by_dask, store):
    mine = np.arange(1 << 17, dtype=float)

    assert client.submit(tasks.look, mine, pure=False).result()[4:7:2] == (float(mine.sum()), False)


def test_workers_that_know_nothing_of_it_read_what_is_sent(client, store):
    x = store.get("x")
    with shm.integrate("dask"):
        scattered = client.scatter(x, hash=False)
        assert client.submit(tasks.look, scattered, pure=False).result()[6]


def test_when_it_is_closed_bytes_travel_and_nothing_is_held_for_who_has_not_read(client, store):
    x = store.get("x")
    with shm.integrate("dask"):
        client.scatter(x, hash=False)

    assert not client.submit(tasks.look, store.get("x"), pure=False).result()[6]
    client.cancel(client.futures.copy())
    del x
    gc.collect()
    assert eventually(lambda: store.stats().objects == 1)


@pytest.mark.parametrize(
    ("address", "answer"),
    [
        ("tcp://127.0.0.1:8786", True),
        ("tls://127.8.0.1:1", True),
        ("tcp://[::1]:8786", True),
        ("tcp://192.168.1.7:8786", False),
        ("tcp://example.org:8786", False),
        ("inproc://192.168.1.7/1/2", False),
        ("", False),
    ],
)
def test_only_an_address_that_no_other_machine_has_is_local(address, answer):
    assert via_dask.is_local(address) is answer


def test_to_another_machine_bytes_go(store, runtime_folder):
    from distributed.protocol import serialize

    x = store.get("x")
    with shm.integrate("dask"):
        _, near = serialize(x, context={"recipient": {"address": "tcp://127.0.0.1:1"}})
        _, far = serialize(x, context={"recipient": {"address": "tcp://10.0.0.1:1"}})

    assert (sum(map(len, near)) < 600, memoryview(far[0]).nbytes) == (True, x.nbytes)


def test_what_was_read_and_let_go_of_can_be_read_again_until_it_is_closed(store, runtime_folder):
    from distributed.protocol import deserialize, serialize

    x = store.get("x")
    with shm.integrate("dask"):
        header, frames = serialize(x, context={"recipient": {"address": "tcp://127.0.0.1:1"}})
        for _ in range(2):
            assert deserialize(header, frames).sum() == x.sum()
            store.put(0, "later")
            store.delete("later")
            assert eventually(lambda: store.stats().objects == 2)

    assert eventually(lambda: store.stats().objects == 1)
    with pytest.raises(shm.errors.ObjectNotFoundError):
        deserialize(header, frames)
