"""References to results leave the process that waits for them, before there is anything: pickled, stored, in arguments."""

from __future__ import annotations

import pickle

import pytest
from client.peers import Peer

import jupyter_shm as shm
from jupyter_shm import errors
from jupyter_shm.testing.private import eventually

SIZES = {"small": 10, "large": 1_000_000}
RECEIVE = "import pickle; ref = pickle.loads(bytes.fromhex({!r})); type(ref).__name__"


@shm.remote
def full_when(name, nbytes):
    import numpy as np

    import jupyter_shm as shm

    shm.get(name, timeout=50)
    return np.full(nbytes, 7, np.uint8)


@shm.remote
def fail_when(name):
    import jupyter_shm as shm

    shm.get(name, timeout=50)
    raise KeyError("what is missing")


@shm.remote
def total(refs):
    import jupyter_shm as shm

    return [type(ref).__name__ for ref in refs], sum(int(shm.get(ref).sum()) for ref in refs)


@shm.remote
def length(refs):
    return len(refs)


@pytest.fixture
def elsewhere(workers):
    """Another process, connected to the same store."""
    peer = Peer(prelude="import jupyter_shm as shm; store = shm.connect()")
    yield peer
    peer.close()


@pytest.mark.parametrize("nbytes", SIZES.values(), ids=SIZES)
def test_a_result_can_be_waited_for_elsewhere_before_it_is_there(elsewhere, nbytes):
    ref = full_when.remote("go", nbytes)

    elsewhere(RECEIVE.format(pickle.dumps(ref).hex()))
    assert elsewhere("store.wait([ref], timeout=0)") is not None
    assert elsewhere("len(store.wait([ref], timeout=0)[0])") == 0
    elsewhere.send("a = store.get(ref); (int(a.sum()), a.flags.writeable)")
    shm.put(1, "go")

    assert elsewhere.answer() == (7 * nbytes, False)
    assert int(shm.get(ref).sum()) == 7 * nbytes
    assert elsewhere("del a; len(store.wait([ref])[0])") == 1


@pytest.mark.parametrize("nbytes", SIZES.values(), ids=SIZES)
def test_what_is_there_can_leave_as_well(elsewhere, nbytes):
    shm.put(1, "go")
    ref = full_when.remote("go", nbytes)
    shm.wait([ref])

    elsewhere(RECEIVE.format(pickle.dumps(ref).hex()))

    assert elsewhere("int(store.get(ref).sum())") == 7 * nbytes


def test_its_error_is_raised_elsewhere_as_what_it_was(elsewhere):
    ref = fail_when.remote("go")
    elsewhere(RECEIVE.format(pickle.dumps(ref).hex()))
    shm.put(1, "go")

    said = elsewhere("""
        try:
            store.get(ref)
        except KeyError as error:
            said = (error.args, "in fail_when" in str(error.__cause__.__cause__ or error.__cause__))
        said
    """)

    assert said == (("what is missing",), True)
    with pytest.raises(KeyError):
        shm.get(pickle.loads(pickle.dumps(ref)))


def test_a_failed_one_can_leave_as_well(elsewhere):
    shm.put(1, "go")
    ref = fail_when.remote("go")
    shm.wait([ref])

    elsewhere(RECEIVE.format(pickle.dumps(ref).hex()))

    assert elsewhere("""
        try:
            store.get(ref)
        except KeyError as error:
            said = error.args
        said
    """) == ("what is missing",)


def test_inside_of_a_stored_object_it_is_waited_for(elsewhere):
    ref = full_when.remote("go", 10)
    shm.put({"result": ref}, "answer")

    elsewhere("ref = store.get('answer')['result']")
    elsewhere.send("int(store.get(ref).sum())")
    shm.put(1, "go")

    assert elsewhere.answer() == 70


def test_who_comes_back_is_who_left(workers):
    ref = full_when.remote("go", 10)

    back = pickle.loads(pickle.dumps(ref))
    stored = shm.get(shm.put([ref]))

    assert back == ref == stored[0]
    assert hash(back) == hash(ref)
    assert len({back, ref, stored[0]}) == 1
    shm.put(1, "go")
    assert shm.get([back, ref, stored[0]])[0].sum() == 70


def test_inside_of_an_argument_it_arrives_as_a_reference_to_what_is_there(workers):
    refs = [full_when.remote("go", 10), full_when.remote("go", 1_000_000)]
    result = total.remote(refs)
    shm.put(1, "go")

    assert shm.get(result, timeout=50) == (["ObjectRef", "ObjectRef"], 7 * 1_000_010)


def test_one_worker_is_enough_for_a_task_that_gets_what_other_tasks_make(workers):
    shm.init(workers=1)
    refs = [full_when.remote("go", 10) for _ in range(5)]
    result = total.remote(refs)
    shm.put(1, "go")

    assert shm.get(result, timeout=50)[1] == 350


def test_a_failure_inside_of_an_argument_is_the_tasks_to_find(workers):
    shm.put(1, "go")

    assert shm.get(length.remote([fail_when.remote("go")]), timeout=50) == 1


def test_it_is_lost_elsewhere_when_the_process_that_waits_for_it_ends(workers):
    code = """
        import os, pickle, sys
        import numpy as np, jupyter_shm as shm
        store = shm.connect()
        @shm.remote
        def never():
            import time
            time.sleep(100)
        ref = never.remote()
        pickle.dumps(ref).hex()
    """
    submitter = Peer(prelude="import os")
    ref = pickle.loads(bytes.fromhex(submitter(code)))
    assert shm.wait([ref], timeout=0)[0] == []
    submitter.kill()

    with pytest.raises(errors.ObjectLostError):
        shm.get(ref, timeout=50)


@pytest.mark.parametrize("nbytes", SIZES.values(), ids=SIZES)
def test_nothing_is_left_when_all_have_let_go(elsewhere, nbytes):
    ref = full_when.remote("go", nbytes)
    shm.put({"result": ref}, "answer")
    elsewhere("ref = store.get('answer')['result']")
    shm.put(1, "go")
    assert elsewhere("int(store.get(ref).sum())") == 7 * nbytes
    assert int(shm.get(ref).sum()) == 7 * nbytes

    elsewhere("del ref")
    del ref
    shm.connect().clear()

    assert eventually(lambda: shm.stats().objects == 0), shm.stats()
