"""What is done with each peer, the same for all: a handful of scenes, each in a session of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

from .arrays import BIG, GB, KB, MB
from .peers import US, Kind
from .session import Host, Session, pss, session

Figure = tuple[str, float]
Scene = Callable[[Kind, "Plan"], Iterator[Figure]]

SAMPLE = 300
"""Objects that are fetched, of however many there are."""

RAMP = 0.3
"""Seconds until all processes of a crowd are ready to begin."""

LONG = 60.0
"""Seconds that a task with much data may take in the slowest peer."""


@dataclass(frozen=True)
class Plan:
    """How much is done.

    Args:
        starts: Tries of what a store does only once; fewer where a peer says so.
        tries: Of what takes microseconds; what takes longer is tried in proportion less often.
        limit: Seconds that one measurement may take.
        puts: That are sustained.
        objects: In the store.
        clients: At once.
        sizes: Of the arrays, in bytes.
        big, beyond: Bytes of a big array, and of one that is larger than the warm reserve.
        large: Bytes of the largest array that is handed off.
        is_quick: Is it only to show that everything works?
    """

    starts: int = 5
    tries: int = 2000
    limit: float = 5.0
    puts: int = 10_000
    objects: tuple[int, ...] = (10, 100, 1000, 10_000, 100_000)
    clients: tuple[int, ...] = (1, 4, 16)
    sizes: tuple[int, ...] = (KB, 4 * KB, 16 * KB, 64 * KB, 256 * KB, MB, 4 * MB, 16 * MB, 64 * MB, BIG, GB)
    big: int = BIG
    beyond: int = GB
    large: int = 64 * MB
    is_quick: bool = False

    @property
    def capacity(self) -> int:
        """Bytes of a store that holds all that one scene publishes."""
        return 3 * max(self.beyond, 2 * self.big)


QUICK = Plan(
    starts=1,
    tries=40,
    limit=0.5,
    puts=300,
    objects=(10, 300),
    clients=(1, 2),
    sizes=(KB, MB, 4 * MB),
    big=16 * MB,
    beyond=64 * MB,
    large=16 * MB,
    is_quick=True,
)


# --- scenes -----------------------------------------------------------------------------------------------------------


def first(kind: Kind, plan: Plan) -> Iterator[Figure]:
    """First puts, each into a store just started."""
    starts = min(plan.starts, kind.starts)
    yield from _first_puts(kind, plan, "first", plan.big, starts)
    yield from _first_puts(kind, plan, "beyond", plan.beyond, min(starts, 2))
    if kind.name == US:
        yield from _first_puts(kind, plan, "cold", plan.big, min(starts, 3), JUPYTER_SHM_RESERVE="0")


def _first_puts(kind: Kind, plan: Plan, name: str, nbytes: int, starts: int, **settings: str) -> Iterator[Figure]:
    tries = []
    for _ in range(starts):
        with session(kind, plan.capacity, **settings) as one:
            tries.append(one.publisher.ask("first_put", LONG, nbytes=nbytes, copies=3))
    yield f"{name} put", median(one["put"] for one in tries)
    yield f"{name} memcpy", median(one["memcpy"] for one in tries)
    yield f"{name} ratio", median(one["memcpy"] / one["put"] for one in tries)


def big(kind: Kind, plan: Plan) -> Iterator[Figure]:
    """A big array: put again and again, read by processes that have not seen it, held by four at once."""
    with session(kind, plan.capacity) as one:
        steady = one.publisher.ask("steady_put", LONG, nbytes=plan.big, tries=12, limit=6 * plan.limit)
        yield "steady put", steady["put"]
        yield "steady memcpy", steady["memcpy"]
        key = one.publisher.ask("first_put", LONG, nbytes=plan.big, copies=1)["key"]
        tries = []
        for _ in range(min(plan.starts, kind.starts)):
            host = one.reader()
            tries.append(host.ask("first_sum", LONG, key=key, nbytes=plan.big))
            one.leave(host)
        for name in ("first", "second", "local"):
            yield f"{name} sum", median(got[name] for got in tries)
        yield from _readers(one, key, plan.big)


def _readers(one: Session, key: str, nbytes: int) -> Iterator[Figure]:
    readers = [one.reader() for _ in range(4)]
    before = [pss(reader.pid) for reader in readers]
    for reader in readers:
        reader.ask("hold", LONG, key=key, nbytes=nbytes)
    yield "pss", median(pss(reader.pid) - least for reader, least in zip(readers, before, strict=True))


def small(kind: Kind, plan: Plan) -> Iterator[Figure]:
    """Small arrays: put, fetched for the first time and again."""
    with session(kind, plan.capacity) as one:
        publisher, reader = one.publisher, one.reader()
        for label, nbytes, tries in (("1 KB", KB, plan.tries), ("1 MB", MB, plan.tries // 8)):
            for how in ("anonymous", "named"):
                asked = {"nbytes": nbytes, "tries": tries, "limit": plan.limit, "anonymous": how == "anonymous"}
                got = publisher.ask("small_puts", **asked)
                yield f"{how} put {label}", got["put"]
                if how == "named":
                    yield f"trip {label}", got["trip"]
            keys = publisher.ask("publish", LONG, nbytes=nbytes, count=min(SAMPLE, tries), label=label)
            yield f"first get {label}", reader.ask("first_gets", keys=keys, nbytes=nbytes)
            again = {"key": keys[1], "nbytes": nbytes, "number": 2, "tries": 5 * tries, "limit": plan.limit}
            yield f"get again {label}", reader.ask("gets_again", **again)
            publisher.ask("forget", label=label)
        if kind.name == US:
            got = publisher.ask("same_name", nbytes=KB, tries=plan.tries)
            yield "same name put", got["put"]
            yield "same name trip", got["trip"]
        sustained = publisher.ask("sustained_puts", LONG, nbytes=KB, count=plan.puts, limit=2 * plan.limit)
        yield "sustained put", sustained["put"]
        yield "sustained puts", sustained["puts"]


def crossing(kind: Kind, plan: Plan) -> Iterator[Figure]:
    """Hand-offs between two processes."""
    with session(kind, plan.capacity) as one:
        reader = one.reader()
        one.publisher.ask("make_pipes")
        for label, nbytes, tries in (
            ("1 KB", KB, plan.tries),
            ("1 MB", MB, plan.tries // 8),
            ("64 MB", plan.large, 30),
        ):
            reader.tell("take", nbytes=nbytes)
            one.publisher.tell("hand_off", nbytes=nbytes, tries=tries, limit=plan.limit)
            reader.answer(LONG)  # first: if both fail, its reason is the better one
            yield f"hand-off {label}", one.publisher.answer(LONG)


def crowd(kind: Kind, plan: Plan) -> Iterator[Figure]:
    """Several clients at once."""
    with session(kind, plan.capacity) as one:
        (key,) = one.publisher.ask("publish", nbytes=KB, count=1, label="crowd")
        for clients in plan.clients:
            while len(one.hosts) <= clients:
                one.reader()
            for task, arguments in (("puts", {}), ("gets", {"key": key})):
                yield f"{clients} clients {task}", _together(one, f"crowd_{task}", clients, plan.limit / 5, **arguments)


def _together(one: Session, task: str, clients: int, duration: float, **arguments: str) -> float:
    """How many in a second all of them do together."""
    start_at, hosts = time.monotonic() + RAMP, one.hosts[1 : clients + 1]
    for host in hosts:
        host.tell(task, start_at=start_at, duration=duration, **arguments)
    return sum(host.answer(LONG) for host in hosts)


def number(kind: Kind, plan: Plan) -> Iterator[Figure]:
    """What it costs that there are many objects."""
    with session(kind, plan.capacity) as one:
        reader = one.reader()
        for count in plan.objects:
            limit = 4 * plan.limit if kind.name != US else LONG  # a goal of ours speaks of them all
            filled = one.publisher.ask("fill", 2 * LONG, upto=count, limit=limit, sample=SAMPLE)
            if filled["objects"] < count:
                return
            asked = {"nbytes": 64, "tries": plan.tries, "limit": plan.limit / 2}
            yield f"{count} objects get", reader.ask("gets", keys=filled["keys"], **asked)
            got = one.publisher.ask("small_puts", nbytes=KB, tries=plan.tries // 4, limit=plan.limit / 2)
            yield f"{count} objects put", got["put"]
        if kind.name == US:
            yield from _few_and_many(reader, kind, plan, filled["keys"])


def _few_and_many(reader: Host, kind: Kind, plan: Plan, keys: list[str]) -> Iterator[Figure]:
    """Gets out of a full store and out of one with ten objects, in turn: the machine's speed drifts meanwhile."""
    with session(kind, plan.capacity) as few:
        other = few.reader()
        few_keys = few.publisher.ask("fill", upto=10, limit=plan.limit, sample=SAMPLE)["keys"]
        asked = {"nbytes": 64, "tries": plan.tries, "limit": plan.limit / 2}
        pairs = [(other.ask("gets", keys=few_keys, **asked), reader.ask("gets", keys=keys, **asked)) for _ in range(7)]
    for name, times in zip(("few", "many"), zip(*pairs, strict=True), strict=True):
        yield f"{name} objects get", median(times)


def size(kind: Kind, plan: Plan) -> Iterator[Figure]:
    """What it costs that an array is large."""
    with session(kind, plan.capacity) as one:
        reader = one.reader()
        for nbytes in plan.sizes:
            tries = max(min(100, 4 * GB // nbytes), 4)
            got = one.publisher.ask("size_put", LONG, nbytes=nbytes, tries=tries, limit=plan.limit / 3)
            yield f"{nbytes} bytes put", got["put"]
            yield f"{nbytes} bytes memcpy", got["memcpy"]
            count = max(min(100, plan.beyond // nbytes), 1)
            count = min(count, max(int(plan.limit / got["put"]), 2))
            keys = one.publisher.ask("publish", LONG, nbytes=nbytes, count=count, label="size")
            yield f"{nbytes} bytes get", reader.ask("first_gets", LONG, keys=keys, nbytes=nbytes)
            one.publisher.ask("forget", label="size")


SCENES: tuple[Scene, ...] = (first, big, small, crossing, crowd, number, size)
