"""Terms of objects in the books and in the index, and what the next store makes of them."""

from __future__ import annotations

from crashed import Crashed, check
from pure_store import PureClient, PureStore

from jupyter_shm.linux.memory import resident_bytes
from jupyter_shm.protocol import messages as m
from jupyter_shm.store import actions as a
from jupyter_shm.store.agreements import agree
from jupyter_shm.store.entries import Object
from jupyter_shm.store.reclaim import GRACE
from jupyter_shm.store.regions import Regions
from jupyter_shm.tables.layout import FREE, MAX_OBJECTS, PAGE, PINNED, TERM_EXPIRY, TERM_SPILLED
from jupyter_shm.tables.terms import NO_TERMS, Terms, TermsTable

ALL = Terms(PINNED, 5_000_000_000)


def named(store: PureStore, client: PureClient, terms: Terms = NO_TERMS) -> Object:
    """An object under a name of its own, with these terms."""
    object = store.ledger.objects[client.put(f"{terms}").id]
    store.perform(list(agree(object, terms)))
    return object


def test_only_words_that_change_are_written(store: PureStore, client: PureClient):
    object = named(store, client, ALL)

    assert agree(object, ALL) == []
    assert agree(object, ALL._replace(spilled=4097)) == [a.SetTerm(object.slot, TERM_SPILLED, 4097)]
    assert object.terms == ALL._replace(spilled=4097)


def test_terms_come_back_with_the_object_and_go_with_it(store: PureStore, client: PureClient):
    object, other = named(store, client, ALL), named(store, client)

    restored = check(Crashed(store))
    assert restored.ledger.objects[object.id].terms == ALL
    assert restored.ledger.objects[other.id].terms is NO_TERMS
    assert restored.repairs == []

    client.ask(m.Delete, object.name, 0)
    assert check(Crashed(store)).ledger.objects[object.id].terms == ALL
    store.advance(GRACE)
    assert Crashed(store).terms() == {}


def test_whenever_a_store_dies_while_it_frees_an_object_the_next_one_leaves_no_terms(
    store: PureStore, client: PureClient
):
    object = named(store, client, ALL)
    client.ask(m.Delete, object.name, 0)
    seen: list[tuple[bool, bool]] = []

    def die(_action: a.Action) -> None:
        crashed = Crashed(store)
        has_terms = bool(crashed.terms())
        ledger = check(crashed).ledger
        seen.append((object.id in ledger.objects, has_terms))
        # An object that is still there is what it was: its bytes are where its terms say.
        assert all(found.terms == ALL for found in ledger.objects.values())

    store.on_action = die
    store.advance(GRACE)

    assert store.state_of(object.id) == FREE
    assert (False, True) in seen, "no death fell between the slot and its terms"
    assert seen[-1] == (False, False)


def test_terms_in_a_slot_of_nobody_are_taken_out(store: PureStore, client: PureClient):
    client.put("x")
    crashed = Crashed(store)
    TermsTable(crashed.index.words).set(77, TERM_EXPIRY, 9)

    restored = crashed.restore()

    assert restored.repairs == [a.SetTerm(77, TERM_EXPIRY, 0)]
    crashed.repair(restored)
    assert crashed.restore().repairs == []


def test_terms_are_read_from_the_index_without_making_pages_of_it():
    regions = Regions.create(1 << 20, 1)
    table = TermsTable(regions.index.words)
    before = resident_bytes(regions.descriptors[2])
    table.set(5, TERM_EXPIRY, 9)
    table.set(MAX_OBJECTS - 1, TERM_SPILLED, 1)

    assert dict(regions.terms()) == {5: Terms(0, 9, 0), MAX_OBJECTS - 1: Terms(0, 0, 1)}
    assert resident_bytes(regions.descriptors[2]) == before + 2 * PAGE
    regions.close()
