"""Arrays and tables that live in the store cross multiprocessing by reference, however its processes are started."""

from __future__ import annotations

import gc
import multiprocessing as mp
import os
import pickle
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import connection, forkserver, reduction

import crossing_tasks as tasks
import numpy as np
import pytest

import jupyter_shm as shm
from jupyter_shm.testing.private import eventually

METHODS = ("fork", "spawn", "forkserver")


@pytest.fixture(params=METHODS)
def context(request: pytest.FixtureRequest):
    yield mp.get_context(request.param)
    if request.param == "forkserver":
        forkserver._forkserver._stop()  # one for the whole process, with the environment of whoever needed it first


def weight(obj: object) -> int:
    """Bytes of a message."""
    return len(reduction.ForkingPickler.dumps(obj))


VIEWS = {
    "all": lambda x: x,
    "a slice": lambda x: x[1000:-1000],
    "every third, backwards": lambda x: x[-5:50:-3],
    "a matrix": lambda x: x.reshape(256, 512),
    "F order": lambda x: x.reshape(256, 512).T,
    "a part of a matrix": lambda x: x.reshape(256, 512)[3:-3, 5:-5],
    "a matrix, turned": lambda x: x.reshape(256, 512)[::-1, ::-2],
    "three axes": lambda x: x.reshape(16, 32, 256).transpose(1, 0, 2)[:, ::-1],
    "other numbers": lambda x: x.view("i2")[1:],
    "dates": lambda x: x.view("M8[us]"),
    "bytes": lambda x: x.view("S16"),
    "records": lambda x: x.view([("n", "f8"), ("v", "f8")])[10:],
    "a field of records": lambda x: x.view([("n", "f8"), ("v", "f8")])["v"],
    "a class of numpy's": lambda x: x.view([("n", "f8"), ("v", "f8")]).view(np.recarray),
    "one number, many times": lambda x: np.broadcast_to(x[7:8], (1 << 16,)),
    "0-d, a large one": lambda x: x.view("S1048576").reshape(()),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_any_view_of_a_stored_array_is_a_short_message_and_arrives_as_it_was(store, by_multiprocessing, view):
    array = view(store.get("x"))

    data = reduction.ForkingPickler.dumps(array)
    back = pickle.loads(data)

    assert len(data) < 600
    assert (type(back), back.shape, back.dtype) == (type(array), array.shape, array.dtype)
    assert back.strides == array.strides or array.size == 1
    assert back.tobytes() == array.tobytes()
    assert not back.flags.writeable
    assert tasks.is_in_store(back)


def test_a_pool_maps_over_slices_of_a_stored_array(store, by_multiprocessing, context):
    x = store.get("x")
    parts = np.split(x, 16)

    with context.Pool(2) as pool:
        seen = pool.map(tasks.look, parts)

    assert [facts[4] for facts in seen] == [float(part.sum()) for part in parts]
    assert all(facts[5:7] == (False, True) for facts in seen)
    assert os.getpid() not in {facts[7] for facts in seen}


def test_a_worker_sends_parts_of_what_it_got_by_reference_too(store, by_multiprocessing, context):
    x = store.get("x")

    with context.Pool(1) as pool:
        (back,) = pool.map(tasks.every_second, [x])
        names = pool.apply(tasks.integrated)

    assert names == ["multiprocessing"]
    assert tasks.is_in_store(back)
    assert np.array_equal(back, x[::2])


def test_queues_pipes_and_arguments_carry_references(store, by_multiprocessing, context):
    x = store.get("x")
    inbox, outbox = context.Queue(), context.SimpleQueue()
    server = context.Process(target=tasks.serve, args=(inbox, outbox))
    server.start()
    inbox.put(x[5:])
    assert outbox.get()[4:7] == (float(x[5:].sum()), False, True)
    inbox.put(None)
    server.join()
    inbox.close()
    inbox.join_thread()

    child = context.Process(target=tasks.look_into, args=(outbox, x[::-7]))
    child.start()

    assert outbox.get()[4:7] == (float(x[::-7].sum()), False, True)
    child.join()
    outbox.close()
    server.close()
    child.close()


def test_a_process_pool_of_concurrent_futures_carries_references(store, by_multiprocessing, context):
    x = store.get("x")

    with ProcessPoolExecutor(1, mp_context=context) as pool:
        assert pool.submit(tasks.look, x[3::2]).result()[4:7] == (float(x[3::2].sum()), False, True)
        assert tasks.is_in_store(pool.submit(tasks.every_second, x).result())


@pytest.mark.parametrize("form", ["pandas", "arrow"])
def test_tables_cross_by_reference(store, by_multiprocessing, form):
    pd, pa = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    table = pd.DataFrame(
        {"n": np.arange(50_000), "v": np.ones(50_000), "s": pd.array(["a", "bc"] * 25_000, dtype="string[pyarrow]")}
    )
    store.put(table if form == "pandas" else pa.Table.from_pandas(table), "table")
    stored = store.get("table")

    assert weight(stored) < 8000
    assert weight(stored[100:40_000] if form == "pandas" else stored.slice(100, 39_900)) < 8000
    with mp.get_context("spawn").Pool(1) as pool:
        kind, total, is_stored, text = pool.apply(tasks.table_facts, (stored,))

    assert (kind, total, is_stored) == ("DataFrame" if form == "pandas" else "Table", 50_000 * 49_999 // 2, 1)
    assert text == ["a", "bc"]


# --- what travels as bytes --------------------------------------------------------------------------------------------


def test_without_integrate_nothing_changes(store):
    x = store.get("x")

    assert weight(x) > x.nbytes
    assert "dump" not in vars(reduction.ForkingPickler)


def test_a_plain_pickle_stays_bytes(store, by_multiprocessing):
    x = store.get("x")

    assert len(pickle.dumps(x)) > x.nbytes


@pytest.mark.parametrize(
    "make",
    [
        lambda store: store.get("x", mode="c"),
        lambda store: store.get("x", copy=True),
        lambda _: np.arange(1 << 17, dtype=float),
        lambda store: store.get("x")[:100],
        lambda _: np.array([None] * 50_000),
    ],
    ids=["copy on write", "a copy", "never stored", "small", "objects"],
)
def test_what_is_private_or_small_travels_as_bytes_and_arrives_as_ever(store, by_multiprocessing, make):
    array = make(store)

    data = reduction.ForkingPickler.dumps(array)
    back = pickle.loads(data)

    assert len(data) > min(array.nbytes, 50_000)
    assert np.array_equal(back, array)
    assert back.flags.writeable
    assert not tasks.is_in_store(back)


def test_a_store_that_has_ended_is_not_referred_to(store, by_multiprocessing):
    x = store.get("x")
    store.shutdown()

    data = reduction.ForkingPickler.dumps(x)

    assert len(data) > x.nbytes
    assert pickle.loads(data).sum() == x.sum()


def test_a_connection_to_another_machine_carries_bytes(store, by_multiprocessing):
    x = store.get("x")
    with connection.Listener(("127.0.0.1", 0), authkey=b"k") as listener:
        ours, theirs = _connected(listener)
        with ours, theirs:
            small = x[:20_000]  # what fits into the queues of both sockets: nobody reads meanwhile
            ours.send(small)
            back = theirs.recv()

    assert back.flags.writeable
    assert np.array_equal(back, small)


def test_a_connection_to_a_process_of_this_user_carries_references(store, by_multiprocessing, tmp_path):
    x = store.get("x")
    with connection.Listener(str(tmp_path / "socket"), authkey=b"k") as listener:
        ours, theirs = _connected(listener)
        with ours, theirs:
            ours.send(x)
            back = theirs.recv()

    assert tasks.is_in_store(back)


def _connected(listener):
    found = []
    thread = threading.Thread(target=lambda: found.append(connection.Client(listener.address, authkey=b"k")))
    thread.start()
    accepted = listener.accept()
    thread.join()
    return found[0], accepted


# --- how long the memory lives ----------------------------------------------------------------------------------------


def test_what_arrived_lives_as_long_as_its_views_and_no_longer(store, by_multiprocessing):
    before = store.stats().objects
    ref = store.put(np.arange(1 << 17))
    data = reduction.ForkingPickler.dumps(store.get(ref)[1:])
    del ref
    back = pickle.loads(data)[::2]
    assert back.sum() == np.arange(1 << 17)[1::2].sum()

    del back
    gc.collect()

    assert eventually(lambda: store.stats().objects == before)


def test_what_is_on_its_way_outlives_its_name_and_its_views_here(store, by_multiprocessing):
    total = store.get("x").sum()
    data = reduction.ForkingPickler.dumps(store.get("x"))
    store.delete("x")

    back = pickle.loads(data)

    assert back.sum() == total
    assert tasks.is_in_store(back)
    del back
    assert eventually(lambda: store.stats().used == 0)


def test_what_is_on_its_way_outlives_its_sender(store, by_multiprocessing):
    inbox = mp.SimpleQueue()
    sender = mp.get_context("fork").Process(target=lambda: inbox.put(shm.get("x")[1:]))
    sender.start()
    sender.join()
    sender.close()
    assert eventually(lambda: store.stats().clients == 1)
    store.delete("x")
    store.put(0, "later")
    store.delete("later")
    assert eventually(lambda: store.stats().objects == 2)  # what was made later has ended: so would what nobody keeps

    back = inbox.get()
    inbox.close()

    assert tasks.is_in_store(back)
    assert back[0] == 1


def test_what_is_on_its_way_outlives_a_death_of_the_store(store, by_multiprocessing):
    ref = store.put(np.arange(1 << 17))
    data = reduction.ForkingPickler.dumps(store.get(ref)[1:])
    del ref

    os.kill(store.stats().pid, signal.SIGKILL)

    assert store.stats().starts == 2
    back = pickle.loads(data)
    assert back[0] == 1
    assert tasks.is_in_store(back)
    del back
    assert eventually(lambda: store.stats().objects == 1)


def test_a_sender_of_many_arrays_holds_none_of_those_that_were_read(store, by_multiprocessing):
    before = store.stats().objects
    spawn = mp.get_context("spawn")
    inbox, outbox = spawn.SimpleQueue(), spawn.SimpleQueue()
    keeper = spawn.Process(target=tasks.keep, args=(inbox, outbox))
    keeper.start()
    for number in range(20):
        inbox.put(store.get(store.put(np.full(1 << 16, number))))
        assert outbox.get() == float(number << 16)
    inbox.put("let go")
    outbox.get()

    assert eventually(lambda: store.stats().objects == before)
    inbox.put(None)
    keeper.join()
    keeper.close()
    inbox.close()
    outbox.close()


def test_what_goes_to_and_fro_does_not_pile_up(store, by_multiprocessing):
    back = store.get("x")
    for _ in range(30):
        back = pickle.loads(reduction.ForkingPickler.dumps(back))

    assert eventually(lambda: store.stats().objects == 2)


def test_a_message_that_cannot_be_pickled_holds_nothing(store, by_multiprocessing):
    with pytest.raises(Exception, match="pickle"):
        reduction.ForkingPickler.dumps([store.get("x"), lambda: None])

    assert eventually(lambda: store.stats().objects == 1)


def test_arrays_of_one_message_share_what_stands_for_them(store, by_multiprocessing):
    parts = np.split(store.get("x"), 16)

    data = reduction.ForkingPickler.dumps(parts)
    assert store.stats().objects == 2
    back = pickle.loads(data)

    assert all(np.array_equal(part, other) for part, other in zip(parts, back, strict=True))
    del back
    assert eventually(lambda: store.stats().objects == 1)


def test_a_forked_child_sends_and_receives_as_its_parent_does(store, by_multiprocessing):
    x = store.get("x")

    def there_and_back(times):
        for number in range(times):
            part = x[number * 10 :]
            assert pickle.loads(reduction.ForkingPickler.dumps(part)).sum() == part.sum()
            assert store.get("x", copy=True).sum() == x.sum()
            store.put(number, "beside")  # waits for its answer, and gets no other one
        return store.get("beside")

    there_and_back(10)
    children = [mp.get_context("fork").Process(target=there_and_back, args=(40,)) for _ in range(2)]
    for child in children:
        child.start()
    there_and_back(40)
    for child in children:
        child.join()

    assert [child.exitcode for child in children] == [0, 0]
    assert eventually(lambda: store.stats().objects == 2)


def test_a_message_that_is_read_twice_says_so(store, by_multiprocessing):
    data = reduction.ForkingPickler.dumps(store.get("x"))
    pickle.loads(data)
    assert eventually(lambda: store.stats().objects == 1)

    with pytest.raises(shm.errors.ObjectNotFoundError, match="gone"):
        pickle.loads(data)


def test_who_cannot_reach_the_store_is_told_so(store, by_multiprocessing, monkeypatch, tmp_path):
    monkeypatch.setenv("JUPYTER_SHM_RUNTIME_DIR", str(tmp_path))

    data = bytes(reduction.ForkingPickler.dumps(store.get("x")))
    with (
        mp.get_context("spawn").Pool(1) as pool,
        pytest.raises(shm.errors.ObjectNotFoundError, match="reached from here"),
    ):
        pool.apply(pickle.loads, (data,))
