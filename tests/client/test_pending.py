"""Objects that are still to be made: handed to other processes at once, and waited for there, whoever dies."""

from __future__ import annotations

import asyncio
import gc
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
from peers import forked
from promising import all_sleep, hand

from jupyter_shm import errors
from jupyter_shm.client.pending import fail, forward, fulfil, pend
from jupyter_shm.client.store import Store
from jupyter_shm.testing.private import eventually


def switches(pid):
    """How often the threads of a process have woken up, all together."""
    lines = [
        line for task in Path(f"/proc/{pid}/task").iterdir() for line in (task / "status").read_text().splitlines()
    ]
    return sum(int(line.split()[1]) for line in lines if "voluntary" in line)


# --- What becomes of it -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 100_000, 3_000_000])
def test_who_waits_in_another_process_gets_the_value(store, peer, size):
    ref = pend(store.session)
    hand(peer, ref)
    peer.send("array = store.get(ref); int(array.sum()), array.flags.writeable")

    fulfil(store.session, ref, np.arange(size))

    assert peer.answer() == (size * (size - 1) // 2, False)
    assert store.get(ref).sum() == size * (size - 1) // 2


def test_an_object_that_is_no_array_is_made_as_well(store, peer):
    ref, value = pend(store.session), {"a": [1, 2], "b": np.ones(10_000)}
    hand(peer, ref)

    fulfil(store.session, ref, value)

    assert peer("got = store.get(ref); got['a'], float(got['b'].sum())") == ([1, 2], 10_000)


def test_it_is_got_as_every_other_object(store, maker):
    maker("fulfil(session, ref, np.arange(100_000))")

    array = store.get(maker.ref)

    assert np.shares_memory(array, store.get(maker.ref))
    private = store.get(maker.ref, mode="c")
    private[:] = 0
    assert store.get(maker.ref, copy=True).flags.writeable
    assert store.get(maker.ref)[-1] == 99_999
    assert store.info(maker.ref).state == "live"
    assert len(store.info(maker.ref).holders) == 2


def test_a_forward_gives_the_other_object_without_a_copy(store, peer):
    ref, other = pend(store.session), store.put(np.arange(100_000))
    hand(peer, ref)

    forward(store.session, ref, other)

    assert np.shares_memory(store.get(ref), store.get(other))
    assert store.get(ref, mode="c").flags.writeable
    used = store.stats().used
    del other
    gc.collect()
    assert peer("view = store.get(ref); int(view.sum())") == 4_999_950_000
    assert store.stats().used == used
    del ref
    peer("del ref; gc.collect()")
    store.put(0, "later")
    assert peer("int(view.sum())") == 4_999_950_000


def test_a_forward_to_what_is_still_to_be_made_waits_for_that(store, peer):
    first, second, third = (pend(store.session) for _ in range(3))
    forward(store.session, first, second)
    forward(store.session, second, third)
    hand(peer, first)
    peer.send("store.get(ref)")
    with pytest.raises(errors.GetTimeoutError):
        store.get(first, timeout=0.05)

    fulfil(store.session, third, "at last")

    assert peer.answer() == "at last"
    assert store.get(first) == "at last"


def test_what_stands_for_itself_is_refused(store):
    first, second = pend(store.session), pend(store.session)
    forward(store.session, first, second)

    for ref in (first, second):
        with pytest.raises(errors.InvalidArgumentError, match="itself"):
            forward(store.session, second, ref)
    with pytest.raises(errors.InvalidArgumentError, match="itself"):
        fulfil(store.session, second, [second])

    fulfil(store.session, second, 5)
    assert store.get(first) == 5


def test_only_anonymous_objects_of_the_same_store_can_be_stood_for(store):
    ref = pend(store.session)

    with pytest.raises(errors.InvalidArgumentError, match="anonymous"):
        forward(store.session, ref, store.put(1, "x"))


def test_an_error_is_raised_with_its_type_and_where_it_came_from(store, maker):
    maker("""
        def divide():
            return 1 / 0
        try:
            divide()
        except ZeroDivisionError as error:
            fail(session, ref, error)
    """)

    for arguments in ({}, {"mode": "c"}, {"copy": True}, {"default": 7}):
        with pytest.raises(ZeroDivisionError, match="division by zero") as raised:
            store.get(maker.ref, **arguments)
        assert "in divide" in str(raised.value.__cause__)
    assert store.info(maker.ref).type == "ZeroDivisionError"
    assert "exception" in store.info(maker.ref).explain()


def test_an_error_that_was_raised_in_another_process_already_tells_of_both(store, maker, new_peer):
    maker("""
        def divide():
            return 1 / 0
        try:
            divide()
        except ZeroDivisionError as error:
            fail(session, ref, error)
    """)
    second = new_peer()
    hand(second, maker.ref)
    data = second("""
        from jupyter_shm.client.pending import fail, pend
        def depend():
            return store.get(ref)
        promised = pend(store._session)
        try:
            depend()
        except ZeroDivisionError as error:
            fail(store._session, promised, error)
        pickle.dumps(promised)
    """)

    with pytest.raises(ZeroDivisionError) as raised:
        store.get(pickle.loads(data))
    assert "in divide" in str(raised.value.__cause__)
    assert "in depend" in str(raised.value.__cause__)


@pytest.mark.parametrize(
    "definition",
    [
        "class Odd(Exception):\n    def __init__(self, a, b): super().__init__('odd')",  # cannot be built again
        "class Odd(Exception):\n    def __reduce__(self): raise TypeError('no')",  # nor be pickled
        "class Odd(KeyboardInterrupt): pass",  # is not for others
    ],
)
def test_an_error_that_cannot_be_raised_here_is_told_as_text(store, maker, definition):
    maker(definition)
    maker("""
        try:
            raise Odd(*[1, 2][:Odd.__init__.__code__.co_argcount - 1 if "__init__" in vars(Odd) else 0])
        except BaseException as error:
            fail(session, ref, error)
    """)

    with pytest.raises(errors.TaskError, match="Odd") as raised:
        store.get(maker.ref)
    assert "Traceback" in str(raised.value)


def test_it_is_made_once(store):
    ref = pend(store.session)
    fulfil(store.session, ref, 1)

    for again in (lambda: fulfil(store.session, ref, np.ones(100_000)), lambda: fail(store.session, ref, ValueError())):
        with pytest.raises(errors.FulfilledError):
            again()

    assert store.get(ref) == 1
    assert eventually(lambda: store.stats().objects == 1)


def test_nobody_else_makes_it(store, maker):
    with pytest.raises(errors.InvalidArgumentError, match="client"):
        fulfil(store.session, maker.ref, 1)


def test_what_cannot_be_pickled_changes_nothing(store):
    ref = pend(store.session)

    with pytest.raises(errors.UnpicklableError):
        fulfil(store.session, ref, threading.Lock())

    fulfil(store.session, ref, 1)
    assert store.get(ref) == 1


def test_what_does_not_fit_changes_nothing(runtime_folder):
    with Store(capacity="16MiB") as store:
        ref = pend(store.session)

        with pytest.raises(errors.StoreFullError, match="promised"):
            fulfil(store.session, ref, np.ones(32 << 20 >> 3))

        fulfil(store.session, ref, 1)
        assert store.get(ref) == 1


# --- Waiting --------------------------------------------------------------------------------------------------------


def test_who_waits_sleeps(store, maker, new_peer):
    waiter = new_peer()
    hand(waiter, maker.ref)
    waiter.send("store.get(ref)")
    assert eventually(lambda: all_sleep(waiter.pid))
    store.wait([maker.ref], timeout=0.05)
    before = switches(waiter.pid)

    store.wait([maker.ref], timeout=0.5)

    assert switches(waiter.pid) - before <= 2
    maker("fulfil(session, ref, 5)")
    assert waiter.answer() == 5


def test_a_wait_has_its_time(store, maker):
    with pytest.raises(errors.GetTimeoutError, match="not made in time"):
        store.get(maker.ref, timeout=0.05)
    assert store.get(maker.ref, timeout=0, default=7) == 7
    assert store.wait([maker.ref], timeout=0.01) == ([], [maker.ref])

    maker("fulfil(session, ref, 5)")

    assert store.get(maker.ref, timeout=0) == 5
    assert store.wait([maker.ref], timeout=0) == ([maker.ref], [])


def test_names_and_references_are_waited_for_together(store, maker):
    there = store.put(1)
    assert store.wait([maker.ref, "x", there], num_returns=1) == ([there], [maker.ref, "x"])

    maker.send("fulfil(session, ref, 5)")
    assert store.wait([maker.ref, "x", there], num_returns=2) == ([maker.ref, there], ["x"])

    maker.answer()
    maker.send("store.put(2, 'x')")
    assert store.wait([maker.ref, "x", there], num_returns=3) == ([maker.ref, "x", there], [])


def test_more_can_be_waited_for_than_one_request_can_name_only_as_long_as_they_are_there(store):
    refs = [store.put(n) for n in range(1100)]
    assert len(store.wait(refs, num_returns=1100)[0]) == 1100

    promised = [pend(store.session) for _ in range(1100)]

    with pytest.raises(errors.InvalidArgumentError, match="1000"):
        store.wait(promised)


def test_a_loop_goes_on_while_a_reference_is_awaited(store, maker):
    async def main():
        task = asyncio.ensure_future(store.aget(maker.ref))
        rounds = 0
        while not task.done():
            await asyncio.sleep(0.001)
            rounds += 1
            if rounds == 50:
                maker.send("fulfil(session, ref, 5)")
        return task.result(), rounds

    value, rounds = asyncio.run(main())

    assert (value, rounds >= 50) == (5, True)


def test_a_task_that_waits_can_be_cancelled(store, maker):
    async def main():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(store.aget([maker.ref, "x"]), 0.1)
        with pytest.raises(errors.GetTimeoutError):
            await store.aget(maker.ref, timeout=0.01)
        return await store.aget(maker.ref, timeout=0.01, default=7)

    assert asyncio.run(main()) == 7
    assert eventually(lambda: store.stats().clients == 2)


def test_many_threads_promise_make_and_wait(store, peer):
    def work(n):
        for round in range(20):
            ref, other = pend(store.session), pend(store.session)
            waiter = threading.Thread(target=lambda ref=ref: got.append(store.get(ref)))
            waiter.start()
            forward(store.session, ref, other)
            fulfil(store.session, other, (n, round))
            waiter.join()

    got = []
    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(got) == [(n, round) for n in range(4) for round in range(20)]
    assert eventually(lambda: store.stats().objects == 0)


def _error_of(call):
    try:
        call()
    except errors.ShmError as error:
        return error
    return None


# --- Living ---------------------------------------------------------------------------------------------------------


def test_it_comes_back_as_the_same_reference(store):
    ref = pend(store.session)
    copies = [pickle.loads(pickle.dumps(ref)) for _ in range(3)]
    assert set(copies) == {ref}
    assert len(store.info(ref).holders) == 1

    fulfil(store.session, copies[0], 1)

    assert [store.get(one) for one in copies] == [1, 1, 1]


def test_who_takes_it_again_while_the_last_one_lets_go_has_it(store):
    ref, leases = pend(store.session), store.session.leases
    with leases.lock:  # so what ends is noted, and worked off later
        ref.lease = None
        ref.lease = leases.hold(ref.id)
    leases.drain()

    fulfil(store.session, ref, 1)

    assert len(store.info(ref).holders) == 1
    assert store.get(ref) == 1


def test_what_nobody_refers_to_is_not_there(store):
    ref = pend(store.session)
    made = pend(store.session)
    fulfil(store.session, made, np.ones(1000))
    assert store.stats().objects == 2

    del ref, made

    assert eventually(lambda: store.stats().objects == 0)


def test_it_lives_in_what_contains_it(store, peer):
    ref = pend(store.session)
    store.put({"later": ref}, "box")
    del ref
    gc.collect()
    peer.send("store.get(store.get('box')['later'])")

    (info,) = store.list("box")
    assert info.name == "box"
    ref = store.get("box")["later"]
    fulfil(store.session, ref, "there")

    assert peer.answer() == "there"


def test_a_forked_child_waits_for_it_and_does_not_make_it(store):
    ref = pend(store.session)
    timer = threading.Timer(0.2, fulfil, (store.session, ref, 5))

    def child():
        error = _error_of(lambda: fulfil(store.session, ref, 6))
        return type(error).__name__

    assert forked(child) == "InvalidArgumentError"
    timer.start()
    assert forked(lambda: store.get(ref)) == 5
    timer.join()


def test_it_is_shown_as_what_it_is(store):
    ref = pend(store.session)

    (info,) = store.list(anonymous=True)
    assert (info.state, info.nbytes, info.type, info.id) == ("pending", 0, "?", ref.id)
    assert "still to be made" in info.explain()
    assert "pending" in str(store.list(anonymous=True))
    assert "pending" in str(store.info(ref))
    assert store.list() == []
    with pytest.raises(errors.InvalidArgumentError):
        store.delete(ref)


def test_ten_thousand_of_them(store, new_peer):
    """Also where a process may have no more than a few files open."""
    peer = new_peer(
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "import numpy as np, pickle, jupyter_shm as shm; store = shm.connect()"
    )
    refs = [pend(store.session) for _ in range(10_000)]
    store.put(refs, "refs")
    peer("refs = store.get('refs'); 0")
    peer.send("[store.get(ref) for ref in refs] == list(range(10_000))")

    for n, ref in enumerate(refs):
        fulfil(store.session, ref, n)

    assert peer.answer()
    store.clear()
    del refs, ref
    peer("del refs; 0")
    assert eventually(lambda: store.stats().objects == 0)
