"""fork: views stay valid whatever the parent does, and parent and child are two clients from then on."""

from __future__ import annotations

import gc
import multiprocessing
import os
import resource
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
from peers import Forked, forked

import jupyter_shm as shm
from jupyter_shm import errors
from jupyter_shm.client import session
from jupyter_shm.linux.process import descriptor_count
from jupyter_shm.testing.private import eventually

NUMBERS = 1 << 17  # of 8 bytes: 1 MiB


def fives():
    return np.full(NUMBERS, 5)


def is_whole(view):
    return bool((np.asarray(view) == 5).all())


def overwrite_everything(store):
    for n in range(8):
        store.put(np.full(NUMBERS, -1), f"noise{n}")
    for n in range(8):
        store.delete(f"noise{n}")


class Stop:
    """A point at which a forked child waits until its parent says go."""

    def __init__(self):
        self.read, self.write = os.pipe()

    def wait(self):
        os.read(self.read, 1)

    def go(self):
        os.write(self.write, b"g")

    def close(self):
        os.close(self.read)
        os.close(self.write)


@pytest.fixture
def stop():
    stop = Stop()
    yield stop
    stop.close()


def test_a_childs_views_stay_valid_after_the_parent_let_go(store, stop):
    store.put(fives(), "x")
    view = store.get("x")

    def child():
        stop.wait()
        return is_whole(view)

    child = Forked(child)
    view = None
    store.delete("x")
    overwrite_everything(store)
    assert eventually(lambda: store.stats().held > 0)
    assert len(store.list(anonymous=True)[0].holders) == 1
    stop.go()

    assert child.result()
    assert eventually(lambda: (store.stats().used, store.stats().clients) == (0, 1))


@pytest.mark.parametrize(
    "goodbye", ["store.close()", "os._exit(0)", "os.kill(os.getpid(), 9)", "store.shutdown(force=True)"]
)
def test_a_childs_views_stay_valid_after_the_parent_closed_or_ended(store, new_peer, goodbye):
    parent = new_peer("""
        import os, numpy as np, jupyter_shm as shm
        store = shm.connect()
        store.put(np.full(1 << 17, 5), 'x')
        view = store.get('x'); private = store.get('x', mode='c')
        told, tell = os.pipe(); answered, answer = os.pipe()
        if os.fork() == 0:
            os.read(told, 1)
            os.write(answer, b'1' if (view == 5).all() and (private == 5).all() else b'0')
            os._exit(0)
    """)
    store.close() if "shutdown" in goodbye else None
    keep = [os.open(f"/proc/{parent.pid}/fd/{parent(name)}", flag) for name, flag in (("tell", 1), ("answered", 0))]
    try:
        parent.send(goodbye)
        if "os." in goodbye:
            parent.process.wait()
        else:
            parent.answer()
        with shm.connect() as other:
            if "x" in other:
                other.delete("x")
            overwrite_everything(other)
            os.write(keep[0], b"g")
            assert os.read(keep[1], 1) == b"1"
            parent.close()
            assert eventually(lambda: other.stats().used == 0)
    finally:
        for fd in keep:
            os.close(fd)


def test_a_child_can_do_everything_and_the_parent_is_unaffected(store):
    store.put(fives(), "x")
    view = store.get("x")

    def child():
        store.put(np.arange(10), "theirs")
        ref = store.put(1)
        assert store.get(ref) == 1
        assert store.get("x")[0] == 5
        store.wait(["theirs"])
        store.delete("x")
        assert "x" not in store
        return [info.name for info in store.list()], store.info("theirs").owner != ""

    assert forked(child) == (["theirs"], True)

    assert is_whole(view)
    assert store.get("theirs").sum() == 45
    store.put(1, "mine")
    assert store.keys() == ["mine", "theirs"]
    assert eventually(lambda: store.stats().objects == 3), "the child's anonymous object ended with it"


def test_parent_and_child_are_two_clients(store, stop):
    def child():
        mine = store.get("x")
        stop.wait()
        return is_whole(mine)

    store.put(fives(), "x")
    child = Forked(child)

    assert eventually(lambda: len(store.info("x").holders) == 1)
    assert store.stats().clients == 2
    stop.go()
    assert child.result()


def test_a_forked_child_is_told_by_its_own_pid_and_keeps_the_store_from_being_shut_down(store, stop):
    store.put(fives(), "x")
    child = Forked(lambda: (store.get("x"), stop.wait())[1])
    try:
        assert eventually(lambda: store.info("x").holders)
        assert [holder.pid for holder in store.info("x").holders] == [child.pid]
        with pytest.raises(errors.StoreInUseError, match=str(child.pid)):
            store.shutdown()
    finally:
        stop.go()
        child.result()


def test_grandchildren_hold_what_their_grandparent_held(store, stop):
    store.put(fives(), "x")
    view = store.get("x")

    def grandchild():
        stop.wait()
        return is_whole(view) and store.get("y") == 2

    def child():
        nonlocal view
        inner = Forked(grandchild)
        view = None
        store.close()
        return inner.result()

    child = Forked(child)
    view = None
    store.delete("x")
    store.put(2, "y")
    overwrite_everything(store)
    stop.go()

    assert child.result()
    assert eventually(lambda: store.stats().objects == 1)


def test_an_anonymous_object_of_the_parent_stays_for_the_childs_view_and_is_not_ended_by_it(store, stop):
    ref = store.put(fives())
    view = store.get(ref)

    def short():
        nonlocal view, ref
        view = ref = None
        gc.collect()
        return True

    assert forked(short)
    assert is_whole(store.get(ref)), "a child that lets go ends nothing of its parent's"

    def long():
        stop.wait()
        return is_whole(view)

    child = Forked(long)
    view = ref = None
    overwrite_everything(store)
    stop.go()
    assert child.result()
    assert eventually(lambda: store.stats().used == 0)


def _work(n):
    mine = shm.connect()
    total = int(mine.get("x").sum()) + n
    mine.put(total, f"result{n}")
    return total


def test_a_pool_of_forked_processes_works(store):
    store.put(np.ones(1000, int), "x")
    view = store.get("x")

    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(_work, range(8)) == [1000 + n for n in range(8)]

    assert view.sum() == 1000
    assert [store.get(f"result{n}") for n in range(8)] == [1000 + n for n in range(8)]


def test_forks_while_other_threads_are_in_requests(store):
    store.put(fives(), "x")
    over = threading.Event()
    failures = []

    def busy(n):
        try:
            while not over.is_set():
                store.put(np.full(1000, n), f"n{n}")
                assert store.get(f"n{n}")[0] == n
                assert is_whole(store.get("x"))
                store.get("never", timeout=0.001, default=None)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=busy, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    try:
        for n in range(40):
            assert forked(lambda n=n: (store.put(n, "child"), store.get("child"), is_whole(store.get("x")))[1:]) == (
                n,
                True,
            )
    finally:
        over.set()
        for thread in threads:
            thread.join(30)

    assert failures == []
    assert store.get("child") == 39


def test_a_fork_while_a_thread_waits_without_a_limit(store):
    got = []
    waiting = threading.Thread(target=lambda: got.append(store.get("late", timeout=None)))
    waiting.start()

    assert forked(lambda: store.get("never", default="gone")) == "gone"
    assert forked(lambda: store.put(3, "late").name) == "late"

    waiting.join(30)
    assert got == [3]


# --- When no second connection can be had -----------------------------------------------------------------------------


@pytest.fixture
def no_connection(store):
    """Make connecting impossible, for as long as the block lasts: no descriptor is left."""

    class Starved:
        def __enter__(self):
            self.before = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(
                resource.RLIMIT_NOFILE,
                (max(int(link.name) for link in Path("/proc/self/fd").iterdir()), self.before[1]),
            )
            self.filler = []
            try:
                while True:
                    self.filler.append(os.dup(0))
            except OSError:
                pass

        def __exit__(self, *reason):
            for fd in self.filler:
                os.close(fd)
            resource.setrlimit(resource.RLIMIT_NOFILE, self.before)

    return Starved()


def fork_starved(starved, function):
    """A forked child that got no connection of its own."""
    results, tell = os.pipe()
    with starved:
        pid = os.fork()
    if pid == 0:
        code = b"0"
        try:
            code = b"1" if function() else b"0"
        finally:
            os.write(tell, code)
            os._exit(0)
    os.close(tell)

    def result():
        with os.fdopen(results, "rb") as pipe:
            answer = pipe.read()
        os.waitpid(pid, 0)
        return answer == b"1"

    return result


def test_without_a_second_connection_the_childs_views_stay_valid(store, stop, no_connection):
    store.put(fives(), "x")
    view = store.get("x")

    def child():
        stop.wait()
        return is_whole(view)

    result = fork_starved(no_connection, child)
    view = None
    store.delete("x")
    overwrite_everything(store)
    assert eventually(lambda: store.stats().held > 0), "the parent's leases of that moment stay"
    stop.go()

    assert result()
    store.put(1, "after")
    assert store.get("after") == 1


def test_without_a_second_connection_the_childs_views_survive_the_parents_close(store, new_peer, stop, no_connection):
    store.put(fives(), "x")
    other = new_peer()
    view = store.get("x")

    def child():
        stop.wait()
        return is_whole(view)

    result = fork_starved(no_connection, child)
    view = None
    store.close()
    other("store.delete('x')")
    other("for n in range(8): store.put(np.full(1 << 17, -1), f'noise{n}')")
    stop.go()

    assert result()
    other("store.clear()")
    assert eventually(lambda: other("store.stats().used") == 0), "the last descriptor of that socket is closed"


def test_without_a_second_connection_the_child_connects_at_its_first_call(store, no_connection):
    store.put(fives(), "x")
    view = store.get("x")

    def child():
        assert is_whole(store.get("x"))
        store.put(7, "theirs")
        return is_whole(view)

    assert fork_starved(no_connection, child)()
    assert store.get("theirs") == 7


def test_the_childs_views_stay_valid_if_the_store_cannot_be_reached_by_its_path(store, stop, runtime_folder):
    """The path leads to somebody who never answers: the fork must neither hang for ever nor lose the views."""
    store.put(fives(), "x")
    view = store.get("x")
    hidden = runtime_folder / "default.sock"
    pid = store.stats().pid
    os.kill(pid, 19)  # SIGSTOP: it cannot bind the path again meanwhile
    hidden.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        listener.bind(str(hidden))  # and nobody listens: connections are refused

        def child():
            stop.wait()
            return is_whole(view)

        child = Forked(child)
    finally:
        listener.close()
        os.kill(pid, 18)
    view = None
    store.delete("x")
    overwrite_everything(store)
    stop.go()

    assert child.result()


# --- What is not left behind ------------------------------------------------------------------------------------------


def held():
    return descriptor_count(), Path("/proc/self/maps").read_text().count("jupyter-shm")


def test_fifty_forks_leak_no_descriptor_and_no_map(store):
    store.put(fives(), "x")
    view = store.get("x")
    forked(lambda: True)
    before = held()

    for _ in range(50):
        assert forked(lambda: is_whole(view))

    assert held() == before
    assert eventually(lambda: store.stats().clients == 1)


def test_retired_sessions_are_inherited_too(store, stop):
    store.put(fives(), "x")
    closed = shm.connect()
    view = closed.get("x")
    closed.close()
    assert len(session._sessions) == 2

    def child():
        nonlocal view
        stop.wait()
        whole = is_whole(view)
        view = None
        gc.collect()
        return whole, len(session._sessions)

    child = Forked(child)
    view = None
    assert len(session._sessions) == 1
    store.delete("x")
    overwrite_everything(store)
    stop.go()

    assert child.result() == (True, 1)
    assert eventually(lambda: store.stats().used == 0)


def test_a_fork_after_the_store_ended_keeps_views_and_starts_afresh(store):
    store.put(fives(), "x")
    view = store.get("x")
    store.shutdown()

    def child():
        with shm.connect(capacity="64MiB") as mine:
            mine.put(1, "y")
            return is_whole(view) and mine.keys() == ["y"]

    assert forked(child)
    assert is_whole(view)


@pytest.mark.reserve("0")
def test_a_child_keeps_what_its_parent_lets_go_of_before_the_store_has_heard_of_it(store, stop):
    store.put(0, "first")  # for the nursery
    mine = {}

    def child():
        stop.wait()
        return is_whole(mine["view"]), is_whole(store.get(mine["ref"]))

    # In one of three trials the store reads of the second one's beginning and end together.
    for _ in range(30):
        mine["first"] = store.put(np.zeros(10))
        mine["ref"] = store.put(np.full(20_000, 5))
        mine["view"] = store.get(mine["ref"])
        other = Forked(child)
        mine.clear()
        assert (stats := store.stats()).objects - stats.names == 2  # which the child holds
        store.put(np.full(20_000, -1), "noise")
        stop.go()
        assert other.result() == (True, True)
        assert eventually(lambda: store.stats().objects == 2)
