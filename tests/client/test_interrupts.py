"""KeyboardInterrupt may fall anywhere: the client works on, and nothing is left behind."""

from __future__ import annotations

import sys

import pytest
from peers import is_nothing_reserved

from jupyter_shm.testing.private import eventually

ON_ONE_VERSION = pytest.mark.skipif(
    sys.version_info[:2] != (3, 11),
    reason="the sweep reads the byte code of Python 3.11, to know where it looks for signals",
)
BODIES = {
    "put and get": """
        store.put(np.full(5000, n), "x")
        view = store.get("x")
        assert view.min() == view.max()
    """,
    "get again": """
        ref = store.put(np.full(1000, n), "x")
        view = store.get("x")
        more = [store.get("x"), store["x"], store.get(ref), store.get(ref)]
        store.put(np.full(1000, n + 1), "x")
        del view
        assert store.get("x")[0] == n + 1 == store.get("x")[0]
    """,
    "put of many bytes": """
        store.put(np.full(100_000, n), "x")
        view = store.get("x")
    """,
    "anonymous objects": """
        ref = store.put(np.full(5000, n))
        view = store.get(ref)
        del ref
    """,
    "small objects out of a nursery": """
        first = store.put(np.full(10, n))  # the first one asks for the nursery
        ref = store.put(np.full(20, n))
        view = store.get(ref)
        del ref, first
        store._session.cutter.let_go()
        store.put(n, "x")
    """,
    "the next nursery": """
        nursery.MOST_SLOTS, store._session.cutter._times = 2, 2
        refs = [store.put(np.full(10, n)) for _ in range(3)]  # the second asks ahead, the third has the answer
        view = store.get(refs[2])
        store._session.cutter.let_go()
        del refs
    """,
    "stored bytes again": """
        store.put(kept[5000:], "x")
        view = store.get("x")
        store.put([view, kept], "list")
    """,
    "waits and deletes": """
        store.put(n, "x")
        store.get("never", timeout=0.0005, default=None)
        store.wait(["x", "never"], timeout=0)
        store.delete("x")
        store.list()
    """,
    "copies and private views": """
        private = store.get("kept", mode="c")
        private[:] = n
        store.get("kept", copy=True)
        store.put({"a": np.full(5000, n)}, "x")
        store.pop("x", None)
    """,
    "promised and made": """
        ref = pend(store._session)
        fulfil(store._session, ref, np.full(5000, n))
        view = store.get(ref)
        assert view[0] == n
        del ref
    """,
    "promised and forwarded": """
        session = store._session
        ref, other = pend(session), pend(session)
        forward(session, ref, other)
        try:
            fail(session, other, ValueError(n))
        except shm.errors.FulfilledError:
            pass
        store.wait([ref, "never"])
        try:
            store.get(ref)
        except ValueError:
            pass
        del ref, other
    """,
    "what is on disk": """
        view = store.get("spilled")
        more = store.get("spilled")
        private = store.get("spilled", mode="c")
        private[:100] = n
        assert store.get("spilled", copy=True)[-1] == 5 == view[0] == more[0]
    """,
    "connections": """
        with shm.connect() as other:
            view = other.get("kept")
        del other
    """,
}

SETTING = """
import faulthandler, gc, random, signal, sys, time
from jupyter_shm.client import nursery
from jupyter_shm.client.pending import fail, forward, fulfil, pend
from jupyter_shm.testing.private import eventually

# An interrupt inside a finalizer cannot be raised to anybody; the finalizer's work must be done all the same.
others = []
sys.unraisablehook = lambda what: what.exc_type is KeyboardInterrupt or others.append(repr(what.exc_value))

store.put(np.arange(10_000), "kept")
kept = store.get("kept")
n = 0
gc.disable()  # a collection would hide a release that waits for one

def works():
    "Calls of every kind still work."
    global n
    n += 1
    store.put(np.full(1000, n), "check")
    return store.get("check")[0] == n and "check" in store

def left(known=()):
    "What is held, though nobody here holds it: after a moment, in which the store looks.  No look for known faults."
    found = []
    store._session.cutter.let_go()  # the rest of the nursery, which is for the next puts, and what they have lost of it
    def is_clean():
        found[:] = [f"{i.name or 'anonymous'} {i.state} {len(i.holders)}" for i in store.list(anonymous=True)
                    if not i.name or i.state == "held" or (i.holders and i.name != "kept")]
        stats = store.stats()
        found.extend([f"{stats.reserved} bytes reserved"] if stats.reserved else [])
        found.extend([f"{stats.clients} clients"] if stats.clients != 2 else [])
        return found == list(known)
    eventually(is_clean, 1.5)
    return found
"""

SPILL = """
from jupyter_shm.client.capacity import set_capacity
store.put(np.full(1 << 18, 5), "spilled")
before = store.stats().capacity
set_capacity(store, 1 << 20)
assert eventually(lambda: store.stats().spilled_objects)
set_capacity(store, before)
"""

SWEEP = """
from interrupter import every_interrupt
faulty, count, known = [], 0, []
for where in every_interrupt(body):
    # What hangs from here on hangs because of this interrupt.
    print("interrupted at", where, file=sys.stderr)
    faulthandler.dump_traceback_later(20, exit=True)
    count += 1
    if not works():
        faulty.append((where, "works no more"))
    if (now := left(known)) != known:
        faulty.append((where, now))
        known = now
    if len(faulty) == 10:
        break  # enough to see what is wrong
faulthandler.cancel_dump_traceback_later()
gc.enable()
"""

RANDOM = """
interrupts = 0

def interrupt(number, frame):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
rnd = random.Random(7)
while interrupts < 200:  # how many tries that takes is the machine's speed
    longest = rnd.choice((0.0003, 0.0008, 0.003))
    faulthandler.dump_traceback_later(20, exit=True)
    try:
        signal.setitimer(signal.ITIMER_REAL, rnd.uniform(1e-6, longest))
        body()
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        interrupts += 1
    try:
        time.sleep(0)  # a signal that another thread took is told to this one a little later
    except KeyboardInterrupt:
        interrupts += 1
    assert works()
faulthandler.cancel_dump_traceback_later()
gc.enable()
"""


@pytest.fixture
def interrupted(peer):
    """A peer that can run the chosen body as ``body()``."""

    def prepare(kind):
        peer(SETTING)
        if kind == "what is on disk":
            peer(SPILL)
        peer("def body():\n" + BODIES[kind])
        peer("body(); works()")  # what a first time imports and compiles is not what is tested
        return peer

    return prepare


@ON_ONE_VERSION
def test_the_sweep_interrupts_at_every_point_once(interrupted):
    peer = interrupted("put and get")

    peer("""
        from interrupter import every_interrupt
        def body(): store.stats()
        points = list(every_interrupt(body))
    """)

    assert peer("len(points)") > 30
    assert any("in request" in point for point in peer("points"))


@ON_ONE_VERSION
@pytest.mark.parametrize("kind", BODIES)
def test_at_whatever_point_an_interrupt_falls_the_client_works_and_nothing_is_left(store, interrupted, kind):
    peer = interrupted(kind)

    peer(SWEEP)

    assert peer("faulty") == []
    assert peer("others") == []
    assert peer("count") > 100
    assert peer("int(kept.sum())") == 49_995_000
    peer("store.clear(); del kept")
    assert eventually(lambda: store.stats().used == 0)


@pytest.mark.parametrize("kind", BODIES)
def test_after_hundreds_of_signals_at_random_moments_the_client_works_and_nothing_is_left(store, interrupted, kind):
    peer = interrupted(kind)

    peer(RANDOM)

    assert peer("interrupts") == 200
    assert peer("left()") == []
    assert peer("others") == []
    assert peer("int(kept.sum())") == 49_995_000
    peer("store.clear(); del kept")
    assert eventually(lambda: store.stats().used == 0)


@ON_ONE_VERSION
@pytest.mark.parametrize("size", [10, 400_000])
def test_at_whatever_point_an_interrupt_falls_a_promise_is_kept_once(peer, size):
    peer(SETTING)
    peer(f"""
        from interrupter import every_interrupt
        made, unmade, ref = 0, 0, pend(store._session)
        def body():
            fulfil(store._session, ref, np.full({size}, 1))
        for where in every_interrupt(body):
            faulthandler.dump_traceback_later(20, exit=True)
            try:
                fulfil(store._session, ref, np.full({size}, 2))
                unmade += 1
                assert store.get(ref).min() == 2, where
            except shm.errors.FulfilledError:
                made += 1
                assert store.get(ref).max() == 1, where
            ref = pend(store._session)
        faulthandler.cancel_dump_traceback_later()
        ref = None
    """)

    assert peer("made") > 10
    assert peer("unmade") > 10
    assert peer("left()") == []


def test_an_interrupt_ends_a_wait_without_a_limit(store, peer):
    got = peer("""
        import signal
        def interrupt(number, frame):
            raise KeyboardInterrupt
        signal.signal(signal.SIGALRM, interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            store.get("never", timeout=None)
        except KeyboardInterrupt:
            got = "interrupted"
        got
    """)

    assert got == "interrupted"
    store.put(1, "never")
    assert peer("store.get('never')") == 1


def test_an_interrupt_during_a_long_put_gives_its_extent_back(store, peer):
    peer("""
        import random, signal
        def interrupt(number, frame):
            raise KeyboardInterrupt
        signal.signal(signal.SIGALRM, interrupt)
        big, rnd, interrupts = np.ones(20 << 20 >> 3), random.Random(1), 0
        for _ in range(60):
            try:
                signal.setitimer(signal.ITIMER_REAL, rnd.uniform(1e-6, 0.01))
                store.put(big, "big")
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupts += 1
    """)

    assert peer("interrupts") > 10
    assert is_nothing_reserved(store, peer)
    peer("store.clear(); del big")
    assert eventually(lambda: store.stats().used == 0)
