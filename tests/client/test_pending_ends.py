"""The ends of those who promise, of those who wait, and of the store: nobody waits for ever, and nothing is made twice."""

from __future__ import annotations

import threading

import pytest
from peers import kill_store, kill_store_and_keeper
from promising import all_sleep, hand

from jupyter_shm import errors
from jupyter_shm.client.pending import fulfil, pend
from jupyter_shm.testing.private import eventually


def test_when_its_maker_is_killed_it_is_lost_to_who_waits_and_to_who_asks_later(store, maker, new_peer):
    waiter = new_peer()
    hand(waiter, maker.ref)
    waiter.send("""
        try:
            store.get(ref)
        except shm.errors.ObjectLostError as error:
            found = (error.reason, str(error))
        found
    """)
    assert eventually(lambda: all_sleep(waiter.pid))

    maker.kill()

    reason, text = waiter.answer()
    assert reason == "lost"
    assert "peer_loop" in text
    with pytest.raises(errors.ObjectLostError):
        store.get(maker.ref, timeout=5)
    assert store.wait([maker.ref]) == ([maker.ref], [])
    assert store.info(maker.ref).state == "lost"
    waiter.kill()
    maker.ref = None
    assert eventually(lambda: store.stats().clients == 1)


def test_the_death_of_the_store_is_not_noticed(store, maker, new_peer):
    waiter = new_peer()
    hand(waiter, maker.ref)
    waiter.send("store.get(ref)")
    assert eventually(lambda: all_sleep(waiter.pid))
    ours = pend(store.session)

    kill_store(store.stats().pid)
    kill_store(store.stats().pid)

    maker("fulfil(session, ref, np.arange(1000))")
    assert waiter.answer().sum() == 499_500
    fulfil(store.session, ours, 1)
    assert store.get(ours) == 1
    assert store.get(maker.ref).sum() == 499_500


@pytest.mark.parametrize("is_store_first", [True, False])
def test_when_its_maker_and_the_store_are_killed_it_is_lost(store, maker, new_peer, is_store_first):
    waiter = new_peer()
    hand(waiter, maker.ref)
    waiter.send("store.get(ref)")
    assert eventually(lambda: all_sleep(waiter.pid))

    pid = store.stats().pid
    if is_store_first:
        kill_store(pid)
        maker.kill()
    else:
        maker.kill()
        kill_store(pid)

    with pytest.raises(Exception, match="has ended first") as raised:
        waiter.answer()
    assert raised.value.kind == "ObjectLostError"
    with pytest.raises(errors.ObjectLostError):
        store.get(maker.ref)


def test_when_all_is_lost_it_is_gone(store, maker):
    ours, session = pend(store.session), store.session
    thread = threading.Thread(target=lambda: raised.append(_error_of(lambda: store.get(maker.ref))))
    raised: list[BaseException] = []
    thread.start()

    kill_store_and_keeper(store.stats().pid)
    with pytest.warns(errors.StoreLostWarning):
        store.stats()

    thread.join()
    assert [type(one) for one in raised] == [errors.ObjectNotFoundError]
    with pytest.raises(errors.StoreConnectionError):
        fulfil(session, ours, 1)
    with pytest.raises(errors.StoreConnectionError):
        pend(session)
    with pytest.raises(errors.ObjectNotFoundError):
        fulfil(store.session, ours, 1)
    with pytest.raises(errors.ObjectNotFoundError):
        store.get(ours)


def _error_of(call):
    try:
        call()
    except errors.ShmError as error:
        return error
    return None
