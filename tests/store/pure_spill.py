"""A store without a process in which there is room for four objects: how it is filled, and who had to leave."""

from __future__ import annotations

from pure_store import PureClient, PureStore

from jupyter_shm.protocol import messages as m
from jupyter_shm.store.extents import LARGE
from jupyter_shm.store.reclaim import GRACE

SIZE = 4 * LARGE
CAPACITY = 4 * SIZE


def fill(client: PureClient, name: str, nbytes: int = SIZE) -> int:
    """An object of so many bytes, prefix and all, full of its name's first letter; its id."""
    data = (name or "-")[:1].encode() * (nbytes - 64)
    answer = client.put(name, data)
    assert isinstance(answer, m.Committed), answer
    client.store.now += 0.001  # the next one is younger
    return answer.id


def fill_all(client: PureClient, names: str = "abcd") -> dict[str, int]:
    return {name: fill(client, name) for name in names}


def make_room(store: PureStore, client: PureClient, nbytes: int = SIZE) -> m.Reserved | m.Refused:
    """Ask for an extent and let graces end; the answer."""
    number = client.post(m.Reserve, nbytes)
    for _ in range(20):
        answer = client.take_answer(number)
        if answer is not None:
            return answer
        store.advance(GRACE)
    raise AssertionError("no answer")


def spilled(store: PureStore) -> set[str]:
    return {object.name for object in store.ledger.objects.values() if object.is_spilled}


def text_of(store: PureStore, name: str) -> bytes | None:
    data = store.bytes_of(name)
    return None if data is None else data[64:65] + data[-1:]
