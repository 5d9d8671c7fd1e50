"""Lies about nurseries, and in rings: they cost the liar its put, or its connection, and nobody else anything."""

# ruff: noqa: ARG005 - the lies of one table are all told with the same arguments

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator

import numpy as np
import pytest
from peers import PAGE, heap_bytes, is_nothing_reserved, kill_store
from raw_peer import Raw

from jupyter_shm.client.store import Store
from jupyter_shm.protocol import messages as m
from jupyter_shm.protocol.messages import MAX_COUNT
from jupyter_shm.tables.ring import COMMIT, DROP, RING
from jupyter_shm.testing.private import eventually

pytestmark = pytest.mark.reserve("0")

SIZE = 8192  # bytes of an honest object
NBYTES, SLOTS = 1 << 20, 16
WORD = (1 << 64) - 1

NAMES = ("from a nursery", "with an extent of its own")


class Liar(Raw):
    """A peer that has a nursery, and an object of its own in it.

    Attributes:
        nursery: What it was granted.
        ids: Of objects to come.
    """

    def __init__(self) -> None:
        super().__init__()
        self.greet()
        self.nursery = self.ask(m.ReserveNursery(1, NBYTES, SLOTS))
        self.number = 1
        self.used, *self.ids = self.nursery.ids
        self.write_object(self.nursery.offset)
        done = self.commit(self.used, self.nursery.offset, "honest")
        assert done.version == 1

    def next(self) -> int:
        """A number for a request."""
        self.number += 1
        return self.number

    def commit(
        self, id: int, offset: int, name: str = "lie", nbytes: int = SIZE, nursery: int | None = None
    ) -> m.Answer:
        reservation = self.nursery.id if nursery is None else nursery
        return self.ask(m.Commit(self.next(), reservation, name, nbytes, 100, 0, True, id, offset))

    @property
    def free(self) -> int:
        """Where an honest object may be."""
        return self.nursery.offset + SIZE

    def is_listened_to(self) -> bool:
        """Is its connection as good as before?"""
        return self.ask(m.Stats(self.next())).number == self.number


@pytest.fixture
def others(store: Store, runtime_folder) -> Iterator[dict]:
    """What somebody else has and sees; afterwards it is all there, and what the liar had is not."""
    store.put(np.full(1000, 1), NAMES[0])
    store.put(np.full(1 << 19, 2), NAMES[1])
    had = {"ref": store.put(np.full(1000, 3)), "view": store.get(NAMES[0])}
    had["promised"] = store._session.cutter._nursery._ids[0]
    pid = store.stats().pid
    yield had
    _have_what_they_had(store, had)
    assert store.stats().pid == pid, "the store lives, and the connection of the others was not ended"
    _go_on(store)
    store.clear()
    had.clear()
    assert eventually(lambda: store.stats().clients == 1)
    assert eventually(lambda: store.stats().objects == 0), store.list(anonymous=True)
    assert is_nothing_reserved(store)
    assert eventually(lambda: heap_bytes(pid) == 0)
    log = (runtime_folder / "default.log").read_text()
    assert "Traceback" not in log
    assert " ERROR " not in log


def _have_what_they_had(store: Store, had: dict) -> None:
    assert (had["view"] == 1).all()
    assert (store.get(had["ref"]) == 3).all()
    assert (store.get(NAMES[0]) == 1).all()
    assert (store.get(NAMES[1]) == 2).all()


def _go_on(store: Store) -> None:
    """Everything that others do works."""
    for n in range(200):
        assert store.get(store.put(np.full(100, n)))[0] == n
    assert store.put(np.full(5000, 7), "new").version == 1
    assert (store.get("new") == 7).all()
    assert {"new", *NAMES} <= set(store.keys())
    assert len(store.list(anonymous=True)) >= 3


@pytest.fixture
def liar(others) -> Iterator[Liar]:
    liar = Liar()
    yield liar
    liar.close()


# --- Commits ----------------------------------------------------------------------------------------------------------

OFFSETS = {
    "before it": lambda liar: liar.nursery.offset - SIZE,
    "at the beginning of the heap": lambda liar: 0,
    "in an object of its own": lambda liar: liar.nursery.offset,
    "over the end of an object of its own": lambda liar: liar.free - 64,
    "over its end": lambda liar: liar.nursery.offset + liar.nursery.nbytes - SIZE + 64,
    "behind it": lambda liar: liar.nursery.offset + liar.nursery.nbytes,
    "behind the heap": lambda liar: 1 << 50,
    "at the end of numbers": lambda liar: MAX_COUNT,
    "one byte on": lambda liar: liar.free + 1,
    "half a line on": lambda liar: liar.free + 32,
}


@pytest.mark.parametrize("offset", OFFSETS)
def test_a_commit_that_is_not_in_what_is_left_of_the_nursery_is_refused(store, liar, offset):
    answer = liar.commit(liar.ids[0], OFFSETS[offset](liar))

    assert answer.reason in ("bad-reservation", "bad-header")  # the latter where its beginning would lie in the nursery
    assert "lie" not in store
    liar.write_object(liar.free)
    assert liar.commit(liar.ids[0], liar.free, "honest").version == 2


@pytest.mark.parametrize("nbytes", [0, NBYTES, NBYTES - SIZE + 1, 1 << 40, MAX_COUNT])
def test_a_commit_of_more_than_the_nursery_has_is_refused(store, liar, nbytes):
    assert liar.commit(liar.ids[0], liar.free, nbytes=nbytes).reason in ("bad-reservation", "bad-header")
    assert "lie" not in store
    assert liar.is_listened_to()


IDS = {
    "none": lambda liar, had: 0,
    "the nursery's": lambda liar, had: liar.nursery.id,
    "one that is used": lambda liar, had: liar.used,
    "one of another generation": lambda liar, had: liar.ids[0] + (1 << 20),
    "one that nobody has": lambda liar, had: MAX_COUNT,
    "one that was promised to somebody else": lambda liar, had: had["promised"],
    "that of somebody else's object": lambda liar, had: had["ref"].id,
}


@pytest.mark.parametrize("id", IDS)
def test_a_commit_under_an_id_that_was_not_promised_is_refused(store, liar, others, id):
    liar.write_object(liar.free)

    answer = liar.commit(IDS[id](liar, others), liar.free)

    assert answer.reason in ("bad-reservation", "bad-header")
    assert "lie" not in store
    assert liar.commit(liar.ids[0], liar.free, "honest").version == 2


def test_a_commit_out_of_somebody_elses_nursery_is_refused(store, liar, others):
    theirs = store._session.cutter._nursery

    answer = liar.commit(others["promised"], theirs._at, nursery=theirs.id)

    assert answer.reason == "bad-reservation"
    assert liar.is_listened_to()


def test_a_commit_of_a_plain_reservation_under_an_id_of_the_nursery_is_refused(store, liar):
    plain = liar.ask(m.Reserve(liar.next(), SIZE))
    liar.write_object(plain.offset)

    assert liar.commit(liar.ids[0], plain.offset, nursery=plain.id).reason == "bad-reservation"
    assert liar.commit(0, 0, "honest", nursery=plain.id).version == 2


@pytest.mark.parametrize("way", [m.Abandon, m.Cancel])
def test_a_commit_out_of_a_nursery_that_was_given_back_is_refused(store, liar, way):
    liar.write_object(liar.free)  # before: what is written into free memory stays until that is used
    liar.tell(way(liar.nursery.id if way is m.Abandon else 1))

    assert liar.commit(liar.ids[0], liar.free).reason == "bad-reservation"
    liar.write_entry(1, COMMIT, liar.ids[0], liar.free, SIZE, 0, 0)
    liar.set_head(1)
    assert liar.is_listened_to()
    assert len(store.list(anonymous=True)) == 4, "those of the others, and the honest one"


@pytest.mark.parametrize("contained", [(7,), (MAX_COUNT,) * 100, (1,) * 1000])
def test_a_commit_out_of_a_nursery_that_contains_what_does_not_exist_is_refused(store, liar, contained):
    liar.write_object(liar.free, contained)

    assert liar.commit(liar.ids[0], liar.free).reason == "contained-gone"
    assert "lie" not in store


# --- Nurseries --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nbytes", "slots"), [(MAX_COUNT, 16), (NBYTES, MAX_COUNT), (MAX_COUNT, MAX_COUNT), (0, 16), (NBYTES, 0), (1, 1)]
)
def test_a_nursery_of_an_absurd_size_is_a_small_one_or_none(store, liar, nbytes, slots):
    before = store.stats().reserved
    granted = liar.ask(m.ReserveNursery(liar.next(), nbytes, slots))

    assert granted.nbytes <= (256 << 20) // 256
    assert len(granted.ids) <= 1024
    assert store.stats().reserved <= before + granted.nbytes
    assert bool(granted.id) == (nbytes > 1 < slots)


@pytest.mark.parametrize(("nbytes", "slots"), [(-1, 16), (NBYTES, -1), (MAX_COUNT + 1, 1), (1 << 70, 1)])
def test_a_nursery_of_an_impossible_size_ends_the_connection(store, liar, nbytes, slots):
    try:
        liar.tell(m.ReserveNursery(liar.next(), nbytes, slots))
    except OverflowError:
        return  # it cannot even be said
    assert liar.is_ended()


def test_a_thousand_nurseries_are_a_few(store, liar):
    before = store.stats()
    granted = [liar.ask(m.ReserveNursery(liar.next(), MAX_COUNT, MAX_COUNT)) for _ in range(1000)]

    assert sum(bool(one.id) for one in granted) == 3
    assert store.stats().reserved - before.reserved <= 3 << 20
    store.put(np.zeros(100 << 20, np.uint8), "new")
    store.delete("new")


def test_a_thousand_nurseries_one_after_the_other_leave_nothing(store, liar):
    for _ in range(1000):
        granted = liar.ask(m.ReserveNursery(liar.next(), NBYTES, SLOTS))
        assert granted.id
        liar.tell(m.Abandon(granted.id))
        liar.tell(m.Abandon(granted.id))

    assert liar.ids[0] not in granted.ids
    assert liar.is_listened_to()


# --- Rings ------------------------------------------------------------------------------------------------------------

ENTRIES = {
    "nothing": lambda liar, had: (0,) * 6,
    "only ones": lambda liar, had: (WORD,) * 6,
    "an unknown kind": lambda liar, had: (77, liar.ids[0], liar.free, SIZE, 100, 0),
    "an id that was not promised": lambda liar, had: (COMMIT, 7, liar.free, SIZE, 100, 0),
    "an id that is used": lambda liar, had: (COMMIT, liar.used, liar.free, SIZE, 100, 0),
    "an id promised to somebody else": lambda liar, had: (COMMIT, had["promised"], liar.free, SIZE, 100, 0),
    "the largest id": lambda liar, had: (COMMIT, WORD, liar.free, SIZE, 100, 0),
    "no bytes": lambda liar, had: (COMMIT, liar.ids[0], liar.free, 0, 0, 0),
    "too many bytes": lambda liar, had: (COMMIT, liar.ids[0], liar.free, NBYTES, 0, 0),
    "all bytes there are": lambda liar, had: (COMMIT, liar.ids[0], liar.free, WORD, 0, 0),
    "the end of somebody else's object": lambda liar, had: (DROP, had["ref"].id, 0, 0, 0, 0),
    "the end of an object with a name": lambda liar, had: (DROP, liar.used, 0, 0, 0, 0),
    **{
        f"an object {where}": lambda liar, had, at=at: (COMMIT, liar.ids[0], at(liar), SIZE, 100, 0)
        for where, at in OFFSETS.items()
    },
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_lie_in_the_ring_is_passed_over(store, liar, others, entry):
    liar.write_entry(1, *ENTRIES[entry](liar, others))
    liar.write_object(liar.free)
    liar.write_entry(2, COMMIT, liar.ids[1], liar.free, SIZE, 100, 0)
    liar.set_head(2)

    assert eventually(lambda: len(store.list(anonymous=True)) == 5), "those of the others, the honest one, and this"
    assert liar.is_listened_to()


@pytest.mark.parametrize("head", [1, 2, RING, RING + 1, 10 * RING, 1 << 63, WORD])
@pytest.mark.parametrize("kind", ["zeros", "ones", "noise", "an entry of another place"])
def test_garbage_in_the_ring_is_never_read(store, liar, kind, head):
    rnd = random.Random(1)
    for position in range(1, 40):
        liar.write_bytes(position, {"zeros": bytes(64), "ones": b"\xff" * 64}.get(kind, rnd.randbytes(64)))
        if kind == "an entry of another place":
            liar.write_entry(position + RING, COMMIT, liar.ids[0], liar.free, SIZE, 100, 0)
    liar.set_head(head)

    assert liar.is_listened_to()
    assert len(store.list(anonymous=True)) == 4, "those of the others, and the honest one"
    _go_on(store)
    store.delete("new")


def test_a_head_that_goes_back_and_forth_has_nothing_done_twice(store, liar):
    liar.write_object(liar.free)
    liar.write_entry(1, COMMIT, liar.ids[0], liar.free, SIZE, 100, 0)
    for head in (1, 0, WORD, 1, 0, 1):
        liar.set_head(head)
        assert liar.is_listened_to()

    assert len(store.list(anonymous=True)) == 5
    liar.write_entry(2, DROP, liar.ids[0], 0, 0, 0, 0)
    liar.set_head(2)
    assert eventually(lambda: len(store.list(anonymous=True)) == 4)


def test_a_ring_of_somebody_who_never_asked_for_a_nursery_says_nothing(store, others):
    raw = Raw()
    raw.greet()
    raw.write_entry(1, COMMIT, others["promised"], store._session.cutter._nursery._at, SIZE, 100, 0)
    raw.set_head(1)

    assert raw.ask(m.Stats(1)).objects == 3
    raw.close()


@pytest.mark.parametrize("most", [MAX_COUNT, WORD])
def test_sizes_and_times_that_cannot_be_harm_nobody_who_asks(store, liar, most):
    for n, id in enumerate(liar.ids[:4]):
        liar.write_object(liar.free + n * SIZE)
        liar.write_entry(n + 1, COMMIT, id, liar.free + n * SIZE, SIZE, most, most)
    liar.set_head(4)
    assert liar.is_listened_to()

    assert store.stats().objects == 8
    assert len(store.list(anonymous=True)) == 8
    assert store.info(NAMES[0]).version == 1


def test_a_ring_that_is_rewritten_all_the_time_keeps_nobody_waiting(store, liar):
    pid = os.fork()
    if pid == 0:
        try:
            head = 0
            while True:
                head += 1
                liar.write_entry(head, COMMIT, liar.ids[head % 8], liar.free + head % 64, SIZE, head, head)
                liar.set_head(head, ring=False)
        finally:
            os._exit(0)
    liar.tell(m.Ring())
    try:
        for n in range(300):
            store.put(np.full(1000, n), "busy")
            assert store.get(store.put(np.full(10, n)))[0] == n
            assert store.stats().clients > 1
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


# --- A store that comes after one that died ---------------------------------------------------------------------------


def test_lies_do_not_outlive_a_store_that_dies(store, runtime_folder):
    store.put(np.full(1000, 1), NAMES[0])
    store.put(np.full(1 << 19, 2), NAMES[1])
    had = {"ref": store.put(np.full(1000, 3)), "view": store.get(NAMES[0])}
    had["promised"] = store._session.cutter._nursery._ids[0]
    liar = Liar()
    for n, entry in enumerate(ENTRIES.values()):
        liar.write_entry(n + 1, *entry(liar, had))
    liar.write_bytes(len(ENTRIES) + 1, b"\xff" * 64)
    liar.set_head(WORD, ring=False)
    for _ in range(3):
        kill_store(store.stats().pid)
        _have_what_they_had(store, had)
        _go_on(store)
        store.delete("new")
    liar.close()

    assert eventually(lambda: store.stats().clients == 1)
    store.clear()
    had.clear()
    assert eventually(lambda: store.stats().objects == 0)
    assert is_nothing_reserved(store)
    assert eventually(lambda: heap_bytes(store.stats().pid) <= PAGE)
    log = (runtime_folder / "default.log").read_text()
    assert "Traceback" not in log
