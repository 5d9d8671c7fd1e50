"""Fixtures of the floor ``client``: a store of the test's own, and other processes that are connected to it."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from crowding import CAPACITY, NAMES, full
from peers import Peer
from promising import MAKER

from jupyter_shm.client.store import Store


@pytest.fixture
def store(runtime_folder: Path) -> Iterator[Store]:
    """A connection to a store that ends with the test."""
    with Store(capacity="256MiB") as store:
        yield store
        # After a failure the traceback holds the store, and nobody may have closed it.


@pytest.fixture
def new_peer(runtime_folder: Path) -> Iterator[Callable[..., Peer]]:
    """Start peers; they end with the test."""
    peers: list[Peer] = []

    def start(*arguments: object, **settings: object) -> Peer:
        peers.append(Peer(*arguments, **settings))
        return peers[-1]

    yield start
    for peer in peers:
        if peer.process.returncode is None:
            peer.kill()
        peer.process.stdout.close()
        if not peer.process.stdin.closed:
            peer.process.stdin.close()


@pytest.fixture
def peer(store: Store, new_peer: Callable[..., Peer]) -> Peer:
    """Another process, connected to the same store."""
    return new_peer()


@pytest.fixture
def crowded(runtime_folder: Path) -> Iterator[Store]:
    """A connection to a store of 64 MiB with twelve objects, of which eight fit."""
    with Store(capacity=CAPACITY) as store:
        for value, name in enumerate(NAMES):
            store.put(full(value), name)
        yield store


@pytest.fixture
def maker(store: Store, new_peer: Callable[..., Peer]) -> Iterator[Peer]:
    """Another process, which has promised an object; ours is ``maker.ref``."""
    maker = new_peer()
    maker.ref = pickle.loads(maker(MAKER))
    yield maker
    maker.ref = None  # the peer is looked at once more when the store is gone
