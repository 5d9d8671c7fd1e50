"""Books restored from the index alone: at every moment, from every damage, and again after every repair."""

from __future__ import annotations

from zlib import crc32

import pytest
from crashed import Crashed, books, check, copied
from histories import History
from pure_store import MIB, PureClient, PureStore

from jupyter_shm.errors import ProtocolError
from jupyter_shm.protocol import messages as m
from jupyter_shm.store.actions import SetEnder, SetState
from jupyter_shm.store.extents import LARGE, PAGE
from jupyter_shm.store.reclaim import GRACE
from jupyter_shm.store.restore import Restored, restore
from jupyter_shm.tables.index import IndexReader, IndexWriter
from jupyter_shm.tables.layout import (
    DYING,
    FREE,
    LIVE,
    RECORD,
    RECORD_OFFSET,
    RESERVED,
    SLOT_SIZE,
    SLOTS_BASE,
    Record,
    generation_of,
    slot_of,
)

# --- Every moment of a history ----------------------------------------------------------------------------------------


def test_a_crash_between_any_two_actions_loses_nothing_and_leaves_nothing_half_done(store: PureStore):
    history = History(store)
    ann, bob, cleo = (store.connect(f"{name}.ipynb") for name in ("ann", "bob", "cleo"))
    # Names: given, replaced under a reader, and given again
    history.put(ann, "x")
    held = bob.lease("x")
    y = history.put(bob, "y", LARGE + 5)
    x = history.put(cleo, "x", 2000)
    # Objects inside others, named and not
    box = history.put(ann, "box", 300, (x, y))
    history.put(cleo, "boxes", 70_000, (box,))
    dropped = history.put(bob, "", 300, (box,))
    cancelled = bob._number + 2
    history.put(bob, "", 5000)
    kept = history.put(bob, "", 64)
    # Ends of all kinds
    assert history.ask(bob, m.Delete, "y", 0) == m.Done(bob._number)
    assert history.ask(cleo, m.Delete, "", x) == m.Done(cleo._number)
    assert isinstance(history.ask(cleo, m.Delete, "x", 0), m.Refused)
    history.tell(bob, m.Drop(dropped))
    history.tell(bob, m.Cancel(cancelled))
    history.tell(cleo, m.Abandon(history.reserve(cleo, 900).id))
    left = [history.reserve(client, nbytes).id for client in (ann, bob, bob) for nbytes in (100, LARGE)]
    assert history.commit(ann, left[2], "z") is None
    history.advance(GRACE)
    history.advance(1.0)
    # Slots and pages of those that are gone, used again
    for nbytes in (64, 300, PAGE, 20_000):
        history.put(cleo, "x", nbytes)
        history.put(ann, f"of {nbytes} bytes", nbytes)
    assert history.ask(ann, m.Delete, "boxes", 0)
    history.advance(GRACE)
    bob.let_go(held)
    history.hang_up(bob)
    history.advance(60.0)
    assert kept not in store.ledger.objects
    history.commit(ann, left[0], "last")
    for name in list(store.ledger.names):
        history.ask(ann, m.Delete, name, 0)
    history.advance(60.0)

    assert store.ledger.objects == {}
    assert history.crashes > 300


# --- Half a commit, half an overwrite ---------------------------------------------------------------------------------


def died(store: PureStore, is_it, do) -> Crashed:
    """The memory of a store that dies right after the first action of this kind."""
    found: list[Crashed] = []
    store.on_action = lambda action: found.append(Crashed(store)) if is_it(action) and not found else None
    do()
    return found[0]


def sets(state: int):
    return lambda action: isinstance(action, SetState) and action.state == state


def test_of_a_commit_that_was_not_finished_the_object_counts_and_not_the_reservation(
    store: PureStore, client: PureClient
):
    reserved = client.reserve(PAGE)
    nbytes = client.fill(reserved, b"data")
    crashed = died(store, sets(LIVE), lambda: client.commit(reserved, nbytes, "x"))

    restored = check(crashed)

    assert restored.repairs == [SetState(slot_of(reserved.id), generation_of(reserved.id), FREE)]
    assert restored.ledger.names["x"].offset == reserved.offset
    assert restored.ledger.reservations == {}
    assert restored.applied == {client.id: reserved.number + 1}


def test_of_an_overwrite_that_was_not_finished_the_new_one_counts_and_the_old_one_ends(
    store: PureStore, client: PureClient
):
    old = client.publish("x")
    crashed = died(store, sets(LIVE), lambda: client.publish("x"))

    restored = check(crashed)

    loser = restored.ledger.objects[old]
    assert restored.repairs[1:] == [SetState(slot_of(old), generation_of(old), DYING)]
    assert restored.repairs[0].state == FREE, "twins come before losers"
    assert restored.ledger.names["x"].version == 2
    assert (loser.state, loser.due, loser.backoff, restored.ledger.in_grace) == (DYING, None, 0.0, 1)


def test_of_many_with_one_name_the_highest_sequence_counts_wherever_it_stands(store: PureStore, client: PureClient):
    """Several stores may have died, one after the other, in the middle of an overwrite."""
    ids = [client.publish(name) for name in "abcd"]
    crashed = Crashed(store)
    sequences = dict(zip(ids, (5, 90, 7, 6), strict=True))
    for id, sequence in sequences.items():
        record = store.reader.record(slot_of(id))
        crashed.index.write_record(slot_of(id), record._replace(name=b"a", sequence=sequence))

    restored = check(crashed)

    assert restored.ledger.names.keys() == {"a"}
    assert restored.ledger.names["a"].id == ids[1]
    assert {do.slot for do in restored.repairs} == {slot_of(id) for id in ids} - {slot_of(ids[1])}
    assert restored.ledger.sequence == 90


def test_facts_that_were_written_and_never_counted_are_no_object(store: PureStore, client: PureClient):
    first = client.publish("x")
    client.ask(m.Delete, "x", 0)
    store.advance(GRACE)
    reserved = client.reserve(64)
    slot = slot_of(first)
    crashed = Crashed(store)
    generation = crashed.reader.state(slot) >> 8
    crashed.index.set_state(slot, generation, FREE)
    crashed.index.write_record(slot, crashed.reader.record(slot)._replace(generation=generation + 1, sequence=50))

    restored = check(crashed)

    assert slot_of(reserved.id) == slot
    assert (restored.ledger.objects, restored.ledger.reservations, restored.repairs) == ({}, {}, [])
    assert restored.ledger._generations[slot] == generation
    assert restored.ledger.sequence == 50, "no number that was ever written is given again"


# --- What requests have done ------------------------------------------------------------------------------------------


def test_the_highest_number_of_each_client_is_told_whatever_slot_it_stands_in(store: PureStore, client: PureClient):
    other = store.connect()
    client.publish("x")
    kept = client.reserve(64)
    other.publish("y")
    other.publish("z")
    assert Crashed(store).restore().applied == {client.id: kept.number, other.id: other._number}

    client.ask(m.Delete, "y", 0)

    restored = Crashed(store).restore()
    assert restored.applied == {client.id: client._number, other.id: other._number}
    assert restored.ended == {(client.id, client._number)}


def test_a_delete_is_known_from_the_slot_only_once_the_object_is_dying(store: PureStore, client: PureClient):
    id = client.publish("x")
    other = store.connect()
    crashed = Crashed(store)
    crashed.index.set_ender(slot_of(id), other.id, 70)
    restored = crashed.restore()
    assert (restored.applied.get(other.id), restored.ended) == (None, frozenset())

    crashed.index.set_state(slot_of(id), generation_of(id), DYING)
    restored = crashed.restore()
    assert (restored.applied[other.id], restored.ended) == (70, {(other.id, 70)})
    assert restored.applied[client.id] == client._number

    crashed.index.set_state(slot_of(id), generation_of(id), FREE)
    assert (crashed.restore().applied, crashed.restore().ended) == ({}, frozenset())


def test_a_delete_that_was_begun_does_not_count_when_another_request_ends_the_object(
    store: PureStore, client: PureClient
):
    old = client.publish("x")
    store.index.set_ender(slot_of(old), 9, 70)
    crashed = Crashed(store)

    restored = check(crashed)

    assert restored.repairs == [SetEnder(slot_of(old), 0, 0)]
    assert (restored.ended, restored.applied.get(9)) == (frozenset(), None)
    crashed.repair(restored)
    assert crashed.index.ender(slot_of(old)) == (0, 0)


def test_no_id_of_a_client_is_given_again_that_is_mentioned_anywhere(store: PureStore, client: PureClient):
    assert Crashed(store).restore().last_client == client.id
    gone = store.connect()
    gone.publish("x")
    assert gone.id == 2

    gone.hang_up()
    assert Crashed(store).restore().last_client == gone.id
    client.ask(m.Delete, "x", 0)
    store.advance(GRACE)
    assert Crashed(store).restore().last_client == gone.id

    crashed = Crashed(store)
    crashed.index.set_row(4095, 77, 0)
    assert crashed.restore().last_client == 77

    id = client.publish("y")
    crashed = Crashed(store)
    crashed.index.set_ender(slot_of(id), 99, 1)
    crashed.index.set_state(slot_of(id), generation_of(id), DYING)
    assert crashed.restore().last_client == 99


def test_an_index_that_was_never_used_is_an_empty_store(store: PureStore):
    restored = check(Crashed(store))

    assert (restored.applied, restored.last_client, restored.repairs) == ({}, 0, [])
    assert restored.ledger.free == restored.ledger.capacity == 8 * MIB
    assert restored.ledger.reserve(1, 1, 64).slot == 0


def test_books_have_the_limits_that_the_index_and_the_caller_name(store: PureStore, client: PureClient):
    client.publish("x")
    crashed = Crashed(store)
    crashed.index.set_capacity(10 * PAGE)

    ledger = restore(crashed.reader, 64 * MIB, crashed.contained, max_objects=3).ledger

    assert (ledger.capacity, ledger.heap_nbytes) == (10 * PAGE, 64 * MIB)
    assert ledger.free == 9 * PAGE
    assert ledger.has_slots()
    ledger.reserve(1, 1, 64)
    assert not ledger.has_slots()


# --- Objects inside others --------------------------------------------------------------------------------------------


def asked(store: PureStore, read) -> tuple[Restored, dict]:
    """Restored with another reader of containment lists; the facts of each object, by name."""
    crashed = Crashed(store)
    restored = restore(crashed.reader, len(store.heap), read)
    restored.ledger.check()
    return restored, {object.name: object for object in restored.ledger.objects.values()}


def test_lists_are_read_of_those_only_that_have_one(store: PureStore, client: PureClient):
    inner = client.publish("inner")
    client.publish("outer", contained=(inner,))
    read: list[Record] = []

    def note(record: Record) -> tuple[int, ...]:
        read.append(record)
        return (inner,)

    restored, objects = asked(store, note)

    assert [record.key() for record in read] == [b"outer"]
    assert objects["outer"].contained == (inner,)
    assert objects["inner"].containers == 1
    assert restored.damaged == {}


def test_what_a_dying_object_contains_is_counted(store: PureStore, client: PureClient):
    inner = client.publish("inner")
    client.publish("outer", contained=(inner,))
    for name in ("outer", "inner"):
        client.ask(m.Delete, name, 0)

    ledger = check(Crashed(store)).ledger

    assert ledger.objects[inner].containers == 1


def test_a_list_that_its_publisher_has_changed_since_harms_nobody(store: PureStore, client: PureClient):
    inner = client.publish("inner")
    outer = client.publish("outer", contained=(inner,))
    younger = client.publish("younger")
    lies = {
        "twice": ((inner, inner), (inner,), False),
        "gone": ((inner, 5 << 20 | 700), (inner,), False),
        "nothing": ((), (), True),
        "itself": ((outer,), (), True),
        "younger": ((younger,), (), True),
        "both": ((younger, inner), (inner,), False),
    }

    for listed, kept, is_noted in lies.values():
        restored, objects = asked(store, lambda _, listed=listed: listed)
        assert objects["outer"].contained == kept
        assert (slot_of(outer) in restored.damaged) == is_noted
        assert [objects[name].containers for name in ("inner", "outer", "younger")] == [len(kept), 0, 0]
        assert set(restored.ledger.names) == {"inner", "outer", "younger"}


def test_a_list_that_was_changed_into_a_circle_harms_nobody(store: PureStore, client: PureClient):
    promised = client.pend()
    outer = client.publish("outer", contained=(promised,))
    client.fulfil(promised, b"", (client.publish("inner"),))

    for listed in ((outer,), (promised,)):
        restored, objects = asked(
            store, lambda record, listed=listed: listed if not record.name_nbytes else (promised,)
        )
        assert restored.ledger.objects[promised].contained == ()
        assert "itself" in restored.damaged[slot_of(promised)]
        assert objects["outer"].contained == (promised,)


def test_facts_of_what_is_still_to_be_made_do_not_count(store: PureStore, client: PureClient):
    """A store may die while it writes them: whatever stands there, it is still to be made, by whom it was."""
    promised, other = client.pend(), client.publish("")
    taken = store.reader.record(slot_of(other))
    for facts in (taken, taken._replace(generation=generation_of(promised)), None):
        crashed = Crashed(store)
        at = SLOTS_BASE + slot_of(promised) * SLOT_SIZE + RECORD_OFFSET
        data = b"rubbish" if facts is None else RECORD.pack(*facts)
        crashed.index.memory[at : at + len(data)] = data
        crashed.index.words[at // 8 - 1] = crc32(data)

        restored = check(crashed)

        object = restored.ledger.objects[promised]
        assert (object.is_pending, object.client, object.request, object.extent) == (True, client.id, 1, 0)
        assert (restored.damaged, restored.repairs) == ({}, [])


def test_a_list_that_cannot_be_read_any_more_harms_nobody(store: PureStore, client: PureClient):
    outer = client.publish("outer", contained=(client.publish("inner"),))
    offset = store.ledger.objects[outer].offset
    store.heap[offset : offset + 8] = b"rubbish!"

    restored, objects = asked(store, Crashed(store).contained)

    assert objects["outer"].contained == ()
    assert "cannot be read" in restored.damaged[slot_of(outer)]
    assert restored.repairs == []
    with pytest.raises(ProtocolError):
        Crashed(store).contained(store.reader.record(slot_of(outer)))


# --- Reservations -----------------------------------------------------------------------------------------------------


def test_reservations_come_back_with_the_pages_that_are_theirs_alone(store: PureStore, client: PureClient):
    client.publish("x", bytes(64))  # the first lines of the first page
    within = client.reserve(PAGE // 2)  # in the same page
    over = client.reserve(PAGE)  # goes on into the next
    behind = client.reserve(PAGE // 4)  # which this one shares
    large = client.reserve(LARGE)

    ledger = check(Crashed(store)).ledger

    entries = {entry.id: entry for entry in ledger.reservations.values()}
    assert entries.keys() == {one.id for one in (within, over, behind, large)}
    assert (ledger.used, ledger.reserved) == (PAGE, LARGE + PAGE)
    assert (ledger.used, ledger.reserved) == (store.ledger.used, store.ledger.reserved)
    facts = [(one.client, one.request, one.offset, one.extent) for one in entries.values()]
    assert facts == [(one.client, one.request, one.offset, one.extent) for one in store.ledger.reservations.values()]


# --- Damage -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def three(store: PureStore, client: PureClient) -> tuple[int, int, int]:
    """Ids: a LIVE object, a DYING one, a reservation; and others around them."""
    client.publish("before")
    live, dying = client.publish("live"), client.publish("dying")
    client.ask(m.Delete, "dying", 0)
    reserved = client.reserve(5000).id
    client.publish("after")
    return live, dying, reserved


def spoil(index: IndexWriter, at: int) -> None:
    index.memory[at] ^= 0x55


DAMAGE = {
    "a fact": lambda index, slot, _: spoil(index, SLOTS_BASE + slot * SLOT_SIZE + RECORD_OFFSET + 20),
    "a byte of the name": lambda index, slot, _: spoil(index, SLOTS_BASE + (slot + 1) * SLOT_SIZE - 1),
    "the generation": lambda index, slot, word: index.set_state(slot, (word >> 8) + 1, word & 0xFF),
    "the state": lambda index, slot, word: index.set_state(slot, word >> 8, 200),
}


@pytest.mark.parametrize("which", [0, 1, 2], ids=["live", "dying", "reserved"])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_slot_is_lost_and_no_other(store: PureStore, three: tuple[int, int, int], which: int, damage):
    slot, name = slot_of(three[which]), ("live", "", "")[which]
    crashed = Crashed(store)
    whole = books(crashed.restore())
    damage(crashed.index, slot, crashed.reader.state(slot))
    generation = crashed.reader.state(slot) >> 8

    restored = crashed.restore()

    restored.ledger.check()
    assert restored.damaged.keys() == {slot}
    assert restored.repairs == [SetState(slot, generation, FREE)]
    assert slot in restored.ledger._free_slots
    left = books(restored)
    for kind in ("objects", "reservations", "names"):
        assert left[kind] == {key: value for key, value in whole[kind].items() if key not in {three[which], name}}

    crashed.repair(restored)
    again = crashed.restore()
    assert books(again) == left
    assert (again.damaged, again.repairs) == ({}, [])


def test_a_damaged_slot_of_the_same_name_does_not_count(store: PureStore, client: PureClient):
    old = client.publish("x")
    crashed = died(store, sets(LIVE), lambda: client.publish("x"))
    winner = crashed.restore().ledger.names["x"]
    crashed.index.memory[SLOTS_BASE + winner.slot * SLOT_SIZE + RECORD_OFFSET + 8] ^= 1

    restored = crashed.restore()

    assert restored.ledger.names["x"].id == old
    assert restored.damaged.keys() == {winner.slot}
    # Its twin is what is left of it: a reservation, which its client may commit once more.
    assert [entry.offset for entry in restored.ledger.reservations.values()] == [winner.offset]


@pytest.mark.parametrize("offset", [0, 64, -64, 1 << 50])
def test_an_index_in_which_extents_overlap_is_refused(store: PureStore, client: PureClient, offset: int):
    client.publish("x", bytes(200))
    crashed = Crashed(store)
    id = client.publish("y")
    record = store.reader.record(slot_of(id))
    crashed.index.write_record(5, record._replace(offset=offset % (1 << 64)))
    crashed.index.set_state(5, record.generation, LIVE)

    with pytest.raises(ValueError, match="does not lie between"):
        crashed.restore()


# --- The rest of the promise ------------------------------------------------------------------------------------------


def test_reads_by_those_who_have_left_and_labels_are_what_they_were(store: PureStore, client: PureClient):
    reader = store.connect()
    id = client.publish("x")
    reader.lease("x")
    reader.table.note_use(slot_of(id), 1, fresh=True)
    reader.table.note_use(slot_of(id), 1, fresh=False)
    reader.hang_up()
    read: list[int] = []

    ledger = check(Crashed(store)).ledger
    object = ledger.objects[id]
    ledger.read_label = lambda one: read.append(one.id) or "a.ipynb"

    assert object.reads == 2
    assert object.label is None
    assert [ledger.label(object), ledger.label(object)] == ["a.ipynb", "a.ipynb"]
    assert read == [id]


def test_restoring_writes_nothing(store: PureStore, client: PureClient):
    client.publish("x")
    crashed = died(store, sets(LIVE), lambda: client.publish("x"))
    before = bytes(copied(crashed.index)[: 1 << 20])

    restore(IndexReader(crashed.index.memory.toreadonly()), len(store.heap), crashed.contained)

    assert bytes(copied(crashed.index)[: 1 << 20]) == before
    assert crashed.slots(RESERVED) != []
