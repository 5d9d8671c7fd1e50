"""The contract's files say what the feed says; TypeScript reads the same files."""

from __future__ import annotations

import json

import pytest
from contract_cases import FOLDER, files, first_state, next_state, text_of

from jupyter_shm.panel import feed


@pytest.mark.parametrize("name", sorted(files()))
def test_a_file_of_the_contract_says_what_is_told(name):
    assert (FOLDER / name).read_text() == text_of(files()[name]), "run tests/panel/contract_cases.py, and read the diff"


def test_there_is_no_file_of_which_nobody_knows():
    assert {path.name for path in FOLDER.iterdir()} == set(files())


def test_ids_are_told_as_text_for_a_page_knows_no_such_numbers():
    told = json.loads(feed.encode(first_state()))

    assert all(int(entry["id"]) > 1 << 53 for entry in told["objects"])
    assert {type(one["id"]) for one in told["objects"] + told["events"]} == {str}


def test_a_change_has_what_is_new_and_what_is_gone_and_nothing_else():
    change = feed.change(first_state(), next_state())

    assert isinstance(change, feed.Diff)
    assert (change.base, change.revision) == (7, 8)
    assert [entry.name for entry in change.changed] == ["array", "gone", ""]
    assert len(change.gone) == 2
    assert [event.kind for event in change.events] == ["overwrite", "delete"]


def test_what_differs_only_in_time_is_no_change():
    before = first_state()
    later = feed.State(8, before.now + 5, *(getattr(before, name) for name in before.__struct_fields__[2:]))

    assert feed.change(before, later) is None


def test_another_store_is_told_as_a_whole():
    before, after = first_state(), next_state()
    other = feed.State(8, after.now, "default", "78", "", after.usage, after.objects, after.events)

    assert feed.change(before, other) is other


def test_a_fault_is_told_once_and_what_comes_after_it_as_a_whole():
    before, after = first_state(), next_state()
    fault, same = (feed.fault_state("default", revision, after.now, "ended") for revision in (8, 9))

    assert feed.change(before, fault) is fault
    assert feed.change(fault, same) is None
    assert feed.change(fault, feed.fault_state("default", 9, after.now, "refused")) is not None
    assert feed.change(fault, after) is after


def test_where_nearly_all_is_new_the_whole_is_told():
    before, after = first_state(), next_state()
    renamed = tuple(feed.Entry(**{**entry_facts(entry), "reads": entry.reads + 1}) for entry in after.objects)
    new = feed.State(8, after.now, "default", "77", "", after.usage, renamed, before.events)

    assert feed.change(before, new) is new


def entry_facts(entry: feed.Entry) -> dict[str, object]:
    return {name: getattr(entry, name) for name in entry.__struct_fields__}
