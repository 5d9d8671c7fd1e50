"""Put, then get, in one process and told to another: never the old value."""

from __future__ import annotations

import os

import numpy as np
from peers import Peer

TRIES = 10_000


def test_a_get_after_a_put_gives_the_new_value(store):
    old = 0
    for n in range(TRIES):
        store.put(n, "x")
        old += store.get("x") != n

    assert old == 0


def test_a_get_after_a_delete_is_a_miss_and_after_a_put_again_a_hit(store):
    wrong = 0
    for n in range(TRIES // 2):
        store.put(n, "x")
        wrong += store.get("x", default=None) != n
        store.delete("x")
        wrong += store.get("x", default=None) is not None

    assert wrong == 0


class Told:
    """A peer that checks what it finds each time that it is told to.

    By pipes, which are faster than the peer's own lines: the shorter the way, the sharper the test.

    Args:
        check: Code of a function of the try's number, that tells whether the peer found what it must.
    """

    def __init__(self, check: str) -> None:
        self.there, self.back = os.pipe(), os.pipe()
        read, write = self.there[0], self.back[1]
        self.peer = Peer(pass_fds=(read, write))
        os.close(read)
        os.close(write)
        self.peer.send(f"""
wrong = n = 0
while os.read({read}, 1):
    wrong += not ({check})
    n += 1
    os.write({write}, b".")
(wrong, n)
""")

    def tell(self) -> None:
        """Let it look, and wait until it has looked."""
        os.write(self.there[1], b".")
        assert os.read(self.back[0], 1), self.peer.answer()

    def end(self) -> tuple[int, int]:
        """How often it was wrong, and how often it looked."""
        os.close(self.there[1])
        answer = self.peer.answer()
        os.close(self.back[0])
        self.peer.close()
        return answer


def test_another_process_that_is_told_gets_the_new_value(store):
    other = Told("store.get('x') == n")
    for n in range(TRIES):
        store.put(n, "x")
        other.tell()

    assert other.end() == (0, TRIES)


def test_another_process_that_is_told_of_a_delete_misses(store):
    other = Told("store.get('x', default=None) == (None if n % 2 else n // 2)")
    for n in range(TRIES // 2):
        store.put(n, "x")
        other.tell()
        store.delete("x")
        other.tell()

    assert other.end() == (0, TRIES)


def test_another_process_that_is_told_of_a_re_put_gets_the_new_value(store):
    for n in range(10):
        store.put(np.full(2000, n), f"source{n}")
    other = Told("store.get('x')[0] == n % 10")
    for n in range(TRIES):
        store.put(store.get(f"source{n % 10}"), "x")
        other.tell()

    assert other.end() == (0, TRIES)
