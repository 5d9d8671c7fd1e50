"""What this process holds of a name, whatever became of the name, the connection and the store."""

from __future__ import annotations

import os

import numpy as np
import pytest
from peers import forked, kill_store_and_keeper

from jupyter_shm import errors
from jupyter_shm.client import hold
from jupyter_shm.client.identity import notebook_of
from jupyter_shm.client.store import Store


def facts(name: str, store: str = "default") -> list[tuple[int, int]]:
    """Version and number of roots of each hold."""
    return [(one.ref.version, len(one.roots)) for one in hold.holds(store, name)]


def test_a_view_is_a_hold_until_it_ends(store):
    store.put(np.arange(1000), "x")
    assert facts("x") == []

    view = store.get("x")[3:]
    assert facts("x") == [(1, 1)]
    assert hold.holds("default", "x")[0].nbytes == 8000
    assert hold.held_names(None) == {"x"}

    del view
    assert facts("x") == []
    assert hold.held_names("default") == set()


def test_a_private_view_holds_as_well(store):
    store.put(np.arange(1000), "x")

    view = store.get("x", mode="c")

    ((version, roots),) = facts("x")
    assert version == 1
    assert roots >= 1
    assert any(np.shares_memory(view, root) for one in hold.holds("default", "x") for root in one.roots)
    assert hold.holds("default", "x")[0].ref.id == store.info("x").id


def test_versions_that_were_replaced_or_deleted_are_held_too_the_newest_first(store):
    views = []
    for n in range(3):
        store.put(np.full(1000, n), "x")
        views.append(store.get("x"))
    store.delete("x")

    assert facts("x") == [(3, 1), (2, 1), (1, 1)]
    assert [store.info(one.ref).state for one in hold.holds("default", "x")] == ["held"] * 3

    del views[1]
    assert facts("x") == [(3, 1), (1, 1)]


def test_views_of_every_connection_count_also_of_one_that_was_closed(store):
    store.put(np.arange(1000), "x")
    with Store() as other:
        views = [store.get("x"), other.get("x")]

    assert facts("x") == [(1, 2)]
    del views


def test_views_outlive_their_store_as_holds(store):
    store.put(np.arange(1000), "x")
    view = store.get("x")
    kill_store_and_keeper(store.stats().pid)
    with pytest.warns(errors.StoreLostWarning):
        store.put(np.zeros(1000), "x")

    assert facts("x") == [(1, 1)]
    with pytest.raises(errors.ObjectNotFoundError):
        store.info(hold.holds("default", "x")[0].ref)
    del view


def test_another_store_and_an_anonymous_object_are_not_meant(store):
    ref = store.put(np.arange(1000))
    view = store.get(ref)
    with Store("second") as second:
        second.put(np.arange(1000), "x")
        other = second.get("x")

        assert facts("x") == []
        assert facts("x", "second") == [(1, 1)]
        assert hold.held_names("default") == set()
        del other, view
        second.shutdown()


def test_the_ids_of_this_process_as_a_client_are_those_that_the_store_tells(store):
    store.put(np.arange(1000), "x")
    with Store() as other:
        views = [store.get("x"), other.get("x")]

        told = {(holder.pid, holder.client) for holder in store.info("x").holders}

        assert told == {(os.getpid(), client) for client in hold.clients("default")}
        assert len(told) == 2
    del views


def test_a_forked_child_is_a_client_of_its_own(store):
    store.put(np.arange(1000), "x")
    view = store.get("x")
    ours = hold.clients("default")

    theirs, told = forked(lambda: (hold.clients("default"), {one.client for one in store.info("x").holders}))

    assert len(theirs) == len(ours) == 1
    assert told == ours | theirs
    assert ours.isdisjoint(theirs)
    del view


def test_a_session_that_is_over_is_no_client(store):
    with Store() as other:
        assert len(hold.clients("default")) == 2
        session = other._session
    assert len(hold.clients("default")) == 1
    assert session.client == 0


@pytest.mark.parametrize(
    ("label", "kernel", "notebook"),
    [
        ("work/one.ipynb", "1234abcd-ef", "work/one.ipynb"),
        ("one.ipynb", "", "one.ipynb"),
        ("console-1-5f", "1234abcd-ef", "console-1-5f"),
        ("kernel 1234abcd", "1234abcd-ef", ""),
        ("train.py", "", ""),
    ],
)
def test_the_notebook_of_a_process_is_its_label_where_that_is_a_path(label, kernel, notebook):
    assert notebook_of(label, kernel) == notebook
