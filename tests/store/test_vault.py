"""The vault: what the keeper knows is what ought to be kept, sooner or later, and in the order in which it changed."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Iterator

import pytest

from jupyter_shm.linux import packets
from jupyter_shm.store.lodging import Ended, Here, Keep, LetGo, Serving, decode
from jupyter_shm.store.vault import FIRST_DELAY, LAST_DELAY, Vault


class Keepers:
    """The other ends: every keeper that was ever started, as a socket that a test reads."""

    def __init__(self) -> None:
        self.ends: list[socket.socket] = []
        self.fails = False

    def start(self) -> socket.socket:
        if self.fails:
            raise OSError("no process left")
        ours, theirs = packets.pair()
        self.ends.append(theirs)
        return ours

    def heard(self) -> list[object]:
        """Everything that the last one was told and has not heard yet."""
        words = []
        while (packet := packets.receive(self.ends[-1], wait=False)) not in (None, packets.END):
            word = decode(packet.data)
            if isinstance(word, Keep):
                word = (word.key, word.note, len(packet.descriptors))
            packets.close_all(packet.descriptors)
            words.append(word)
        return words


@pytest.fixture
def keepers() -> Iterator[Keepers]:
    keepers = Keepers()
    yield keepers
    for end in keepers.ends:
        end.close()


@pytest.fixture
def vault(keepers: Keepers) -> Iterator[Vault]:
    vault = Vault(keepers.start(), {}, keepers.start)
    assert keepers.heard() == [Here(os.getpid())]
    yield vault
    vault.close()


def test_what_is_kept_and_let_go_of_is_told_at_once_and_in_order(vault: Vault, keepers: Keepers):
    vault.keep("a", b"1", (0, 1))
    vault.keep("b", b"2")
    vault.keep("a", b"3", (0,))
    vault.let_go("b")

    assert keepers.heard() == [("a", b"1", 2), ("b", b"2", 0), ("a", b"3", 1), LetGo("b")]
    assert "a" in vault
    assert "b" not in vault
    assert not vault.is_behind


def test_what_was_never_kept_is_let_go_of_in_silence(vault: Vault, keepers: Keepers):
    vault.let_go("a")

    assert keepers.heard() == []


def test_a_keeper_that_has_no_room_is_told_later_and_only_how_it_is_then(vault: Vault, keepers: Keepers):
    for number in range(2000):
        vault.keep(f"client/{number}", b"x" * 100)
    assert vault.is_behind
    vault.keep("client/1999", b"new", (0,))
    vault.let_go("client/1998")
    told = keepers.heard()
    assert 0 < len(told) < 1998

    while vault.is_behind:
        vault.flush()
        told += keepers.heard()

    assert told[-2:] == [("client/1999", b"new", 1), LetGo("client/1998")]
    assert len(told) == 2000


def test_serving_is_said_once_and_behind_everything_that_is_kept(vault: Vault, keepers: Keepers):
    for number in range(1000):
        vault.keep(f"client/{number}", b"x" * 100)
    vault.say_serving()
    told = keepers.heard()
    assert Serving() not in told

    while vault.is_behind:
        vault.flush()
        told += keepers.heard()
    vault.keep("more")
    told += keepers.heard()

    assert told[-2:] == [Serving(), ("more", b"", 0)]
    assert told.count(Serving()) == 1


def test_a_new_keeper_is_told_everything_and_then_that_this_store_serves(vault: Vault, keepers: Keepers):
    vault.keep("a", b"1", (0,))
    vault.keep("b", b"2")
    vault.say_serving()
    keepers.ends[-1].close()
    vault.listen()
    assert vault.is_lost
    vault.let_go("b")
    vault.keep("c", b"3")

    assert vault.renew(100.0)

    assert keepers.heard() == [Here(os.getpid()), ("a", b"1", 1), ("c", b"3", 0), Serving()]
    assert vault.is_settled


def test_a_keeper_that_dies_is_noticed_by_whoever_tells_it_something(vault: Vault, keepers: Keepers):
    keepers.ends[-1].close()

    vault.keep("a", b"1")

    assert vault.is_lost
    assert not vault.is_behind, "nobody waits for a keeper that is not there"
    assert vault.renew(0.0)
    assert keepers.heard() == [Here(os.getpid()), ("a", b"1", 0)]


def test_who_the_keeper_is_is_known_once_it_has_spoken(vault: Vault, keepers: Keepers):
    from jupyter_shm.store.lodging import encode

    assert vault.keeper == 0
    packets.send(keepers.ends[-1], encode(Here(4242)))
    packets.send(keepers.ends[-1], b"\xff no word of this release")

    vault.listen()

    assert vault.keeper == 4242


def test_keepers_that_die_at_once_are_started_after_longer_and_longer_times(vault: Vault, keepers: Keepers):
    delays = []
    for _ in range(12):
        keepers.ends[-1].close()
        vault.listen()
        assert vault.is_lost
        now = max(0.0, vault.next_renewal)
        if vault.next_renewal:
            assert not vault.renew(now - 0.001)
        assert vault.renew(now)
        delays.append(vault._delay)

    assert delays[:3] == [FIRST_DELAY, 2 * FIRST_DELAY, 4 * FIRST_DELAY]
    assert delays[-1] == LAST_DELAY
    assert vault.next_renewal == math.inf


def test_a_keeper_that_cannot_be_started_is_tried_again(vault: Vault, keepers: Keepers):
    keepers.ends[-1].close()
    vault.listen()
    keepers.fails = True

    assert not vault.renew(10.0)
    assert vault.next_renewal == 10.0 + FIRST_DELAY

    keepers.fails = False
    assert not vault.renew(10.0)
    assert vault.renew(10.0 + FIRST_DELAY)


def test_the_end_in_order_is_said_last(vault: Vault, keepers: Keepers):
    vault.keep("a")
    vault.say_ended("asked for")

    assert keepers.heard() == [("a", b"", 0), Ended("asked for")]
