"""For long, and with everything at once: no byte that somebody reads ever changes, and in the end all is free."""

from __future__ import annotations

import numpy as np
import pytest
from peers import is_nothing_reserved

from jupyter_shm.client.store import Store
from jupyter_shm.testing.private import eventually

SECONDS = 12

WRITER = """
import random, time
rnd = random.Random(os.getpid())
puts = 0
over = time.monotonic() + {seconds}
while time.monotonic() < over:
    name = f"n{{rnd.randrange(12)}}"
    puts += 1
    # Full of one value: a byte of another object in it shows.
    value = rnd.randrange(1, 1 << 40)
    chance = rnd.random()
    try:
        if chance < 0.7:
            store.put(np.full(rnd.choice((100, 2000, 9000, 60_000)), value), name)
        elif chance < 0.8:
            store.put({{"a": np.full(20_000, value), "b": value}}, name)
        elif chance < 0.9:
            store.put(store.get(name)[7:], f"n{{rnd.randrange(12)}}")
        else:
            store.delete(name)
    except (KeyError, MemoryError, TypeError):
        pass
puts
"""

READER = """
import gc, random, socket, time
from jupyter_shm.errors import StoreConnectionError

rnd = random.Random(os.getpid())
broken, reads, held = [], 0, []

def verify(view, value):
    if not (view == value).all():
        broken.append((value, int((view != value).sum())))

def fork_and_verify():
    "A child verifies what we hold, lets go of it, and reads on by itself."
    pid = os.fork()
    if pid == 0:
        bad = 1
        try:
            for _ in range(20):
                for view, value in held:
                    verify(view, value)
                got = store.get(f"n{{rnd.randrange(12)}}", default=None)
                if isinstance(got, np.ndarray):
                    verify(got, int(got[0]))
            bad = bool(broken)
        finally:
            os._exit(bad)
    return pid

over = time.monotonic() + {seconds}
children = []
while time.monotonic() < over:
    chance = rnd.random()
    try:
        got = store.get(f"n{{rnd.randrange(12)}}", default=None, mode="r")
        got = got["a"] if isinstance(got, dict) else got
        if got is not None:
            value = int(got[0])
            verify(got, value)
            held.append((got, value))
            reads += 1
        if chance < {naughty}:
            way = rnd.choice(("close", "garbage", "fork"))
            if way == "close":
                store.close()
                store = shm.connect()
            elif way == "garbage":
                store._session.connection.sock.send(b"garbage")
                store.stats()
            elif len(children) < 3:
                children.append(fork_and_verify())
    except StoreConnectionError:
        pass
    if len(held) > 40:
        for _ in range(20):
            verify(*held.pop(rnd.randrange(len(held))))
    for pid in list(children):
        if (done := os.waitpid(pid, os.WNOHANG))[0]:
            children.remove(pid)
            if done[1]:
                broken.append(("child", done[1]))
for pid in children:
    if os.waitpid(pid, 0)[1]:
        broken.append(("child", pid))
for view, value in held:
    verify(view, value)
del held, got
view = None
broken, reads
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "naughty", [0, 0.02], ids=["readers in peace", "readers that close, fork and break the protocol"]
)
def test_no_byte_that_somebody_reads_ever_changes(store, new_peer, naughty):
    writers = [new_peer() for _ in range(2)]
    readers = [new_peer() for _ in range(3)]
    for peer in writers:
        peer.send(WRITER.format(seconds=SECONDS))
    for peer in readers:
        peer.send(READER.format(seconds=SECONDS, naughty=naughty))

    assert min(peer.answer() for peer in writers) > 500
    answers = [peer.answer() for peer in readers]

    assert [broken for broken, _ in answers] == [[], [], []]
    assert min(reads for _, reads in answers) > 500
    store.clear()
    # An object whose reader could not hint, because its connection had been ended, is looked at once in half a minute.
    assert eventually(lambda: store.stats().used == 0, 45)
    assert (store.stats().held, store.stats().objects) == (0, 0)
    assert is_nothing_reserved(store, *writers, *readers)


@pytest.mark.slow
def test_readers_and_writers_that_are_killed_leave_nothing(store, new_peer):
    for _ in range(6):
        peers = [new_peer() for _ in range(3)]
        peers[0].send(WRITER.format(seconds=30))
        for peer in peers[1:]:
            peer.send(READER.format(seconds=30, naughty=0))
        assert eventually(lambda: len(store) > 5, 30)
        for peer in peers:
            peer.kill()

    store.clear()
    assert eventually(lambda: store.stats().used == 0)
    assert store.stats().clients == 1
    assert is_nothing_reserved(store)


@pytest.mark.slow
def test_a_hundred_thousand_objects_fit_under_the_usual_limit_of_descriptors(runtime_folder, new_peer):
    peer = new_peer("""
        import os, resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
        import numpy as np, jupyter_shm as shm
        store = shm.connect(capacity="512MiB")
    """)
    for n in range(10):
        peer(f"for n in range({n} * 10_000, {n + 1} * 10_000): store.put(n, f'n{{n}}')")

    with Store() as store:
        assert len(store) == 100_000
        assert store.get("n99999") == 99_999
        assert len(store.keys()) == 100_000
        for n in range(0, 100_000, 5000):
            assert store.get(f"n{n}") == n
        assert len(store.list("n7777*")) == 11
        peer("kept = [store.get(f'n{n}') for n in range(0, 100_000, 100)]; len(kept)")
        for n in range(10):
            peer(f"for n in range({n} * 10_000, {n + 1} * 10_000): store.delete(f'n{{n}}')")
        assert eventually(lambda: store.stats().used == 0, 30)


def test_the_values_of_the_stress_test_would_show_a_mixed_up_byte():
    view = np.full(10, 7)
    view.view(np.uint8)[33] = 1

    assert not (view == 7).all()
