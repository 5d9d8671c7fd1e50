"""The messages of the control socket, one struct each.  No I/O here.

Every request carries a ``number`` that its connection has not used before, drawn in the order in which the
requests are sent; the answer carries the same number.  Messages without a number are one-way.
An ``id`` is an object id: ``generation << 20 | slot`` of the index, never given twice by one store.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from .message import MAX_COUNT as MAX_COUNT
from .message import Count as Count
from .message import Message as Message
from .pending import Fulfil as Fulfil
from .pending import Pend as Pend
from .pending import Pended as Pended

WIRE = 5
"""Version of this language.  Releases that share it work together; raise it when a message changes its meaning."""

MAX_LABEL = 256  # bytes of UTF-8; longer labels are cut by the client
MAX_NAME = 128  # bytes of UTF-8
MAX_HOLDERS = 32  # holders told per object: an answer has to fit one packet
PAGE_OBJECTS = 80  # objects told per page: 80 of the longest are under 64 KiB
PAGE_CLIENTS = 100  # clients told per page
PAGE_EVENTS = 120  # events told per page: 120 of the longest are under 64 KiB
MAX_WAIT_NAMES = 400  # names in one Wait: 400 of the longest are under 64 KiB
MAX_WAIT_IDS = 1000  # ids in one Wait, besides as many names

Label = Annotated[str, msgspec.Meta(max_length=MAX_LABEL)]
"""A label in characters; ``Session`` checks that its bytes are not more."""


# --- from the client -------------------------------------------------------------------------------------------


class Hello(Message, frozen=True, tag="hello"):
    """The first message of a connection.  Answered by ``Welcome``."""

    pid: Count  # as the client sees itself; the kernel's word (SO_PEERCRED) counts where it has one
    label: Label  # notebook, script or command that people know this process by; at most MAX_LABEL bytes
    kernel: Label  # Jupyter kernel id, "" outside of a kernel
    python: Label  # "3.11.7"
    package: Label  # version of jupyter_shm
    watches: bool = False  # it is to be told by Changed when something has happened, once it has asked for Events


class Forked(Message, frozen=True, tag="forked"):
    """This connection was opened by a process for the child that it was about to fork.  One-way."""

    pid: Count  # the child's, as it sees itself


class Reserve(Message, frozen=True, tag="reserve"):
    """Ask for an extent of the heap to fill.  Answered by ``Reserved``; ``full`` when there is no room."""

    number: Count
    nbytes: Count  # bytes


class ReserveNursery(Message, frozen=True, tag="reserve-nursery"):
    """Ask for an extent to cut objects out of, and for slots that they will live in.

    Answered by ``NurseryReserved``, which may be less than was asked for, or nothing.
    """

    number: Count
    nbytes: Count  # bytes
    slots: Count


class Ring(Message, frozen=True, tag="ring"):
    """There are entries in this client's ring, and its row says that the store does not look.  One-way."""


class Commit(Message, frozen=True, tag="commit"):
    """Make the object in a reserved extent visible.  Answered by ``Committed``, after the index shows it."""

    number: Count
    reservation: Count  # id of the reservation, from Reserved, or of the nursery
    name: str  # "" for an anonymous object
    nbytes: Count  # bytes of the extent that the object covers, header included
    payload: Count  # bytes of the object's own data, for people
    created_ns: Count  # nanoseconds since 1970
    overwrite: bool  # False: refuse with `exists` when the name is taken
    id: Count = 0  # out of a nursery: the object's, one of those that were promised
    offset: Count = 0  # out of a nursery: where the object is, in bytes from the start of the heap
    flags: Count = 0  # PINNED and KERNEL_LIFETIME of the index; only under a name
    ttl_ns: Count = 0  # nanoseconds until its name ends; 0: never; only under a name


class Abandon(Message, frozen=True, tag="abandon"):
    """Give a reservation back unused.  One-way."""

    reservation: Count


class Cancel(Message, frozen=True, tag="cancel"):
    """The caller of request ``number`` is gone: undo what nobody can know of.

    That is a reservation, a wait, an anonymous object.  One-way; an answer under way is ignored by its number.
    """

    number: Count


class Delete(Message, frozen=True, tag="delete"):
    """Take a name away, or an anonymous object.  Answered by ``Done`` after the index shows it."""

    number: Count
    name: str  # "" to delete by id
    id: Count  # 0 to delete by name; both: only if the name still means this object


class Pin(Message, frozen=True, tag="pin"):
    """Keep an object from expiring and from being spilled, or do so no longer.  Answered by ``Done``."""

    number: Count
    name: str  # "" to go by the id
    id: Count  # 0 to go by the name; both: only if the name still means this object
    is_pinned: bool


class Expire(Message, frozen=True, tag="expire"):
    """Let a name end at another time.  Answered by ``Done``."""

    number: Count
    name: str  # "" to go by the id
    id: Count  # 0 to go by the name; both: only if the name still means this object
    ttl_ns: Count  # nanoseconds from now on; 0: never


class Drop(Message, frozen=True, tag="drop"):
    """The publisher let go of its last reference to an anonymous object.  One-way."""

    id: Count


class Hint(Message, frozen=True, tag="hint"):
    """A lease on an object that is no longer LIVE was let go: look at it again.  One-way."""

    id: Count


class Look(Message, frozen=True, tag="look"):
    """Is this name published?  Answered by ``Found`` or ``not-found``, after all sockets were drained."""

    number: Count
    name: str


class Wait(Message, frozen=True, tag="wait"):
    """Answer with ``Ready`` as soon as ``count`` of these names are published, and of these objects PENDING no more.

    What is lost, or gone, is waited for no longer, either.
    """

    number: Count
    names: tuple[str, ...]
    count: Count
    newer_than: Count = 0  # only versions above this one count
    ids: tuple[Count, ...] = ()  # of anonymous objects


class List(Message, frozen=True, tag="list"):
    """One page of what the store holds.  Answered by ``Page``."""

    number: Count
    after: Count  # `last` of the page before, 0 for the first one
    anonymous: bool  # anonymous objects, and those that live on only because somebody holds them, too


class Info(Message, frozen=True, tag="info"):
    """What the store knows of one object.  Answered by ``Facts``."""

    number: Count
    name: str  # "" to ask by id
    id: Count  # 0 to ask by name


class Clients(Message, frozen=True, tag="clients"):
    """Who is connected.  Answered by ``People``, a page at a time."""

    number: Count
    after: Count  # `last` of the page before, 0 for the first one


class Stats(Message, frozen=True, tag="stats"):
    """The store's accounts.  Answered by ``Accounts``."""

    number: Count


class SetCapacity(Message, frozen=True, tag="set-capacity"):
    """Let used and reserved pages together take so many bytes from now on.

    Answered by ``Done``; ``setting`` when the machine has no such memory.  What is above it already is spilled as far as
    possible, and stays otherwise.  Doing it twice is doing it once, so its number is in no row.
    """

    number: Count
    nbytes: Count  # bytes


class Events(Message, frozen=True, tag="events"):
    """What happened.  Answered by ``Past``, a page at a time."""

    number: Count
    after: Count  # number of the last event that is known; 0: all that the store remembers; MAX_COUNT: none


class Stop(Message, frozen=True, tag="stop"):
    """End the whole store.  Answered by ``Done``, or ``in-use`` unless forced."""

    number: Count
    force: bool


# --- from the store --------------------------------------------------------------------------------------------


class Welcome(Message, frozen=True, tag="welcome"):
    """Answer to ``Hello``.

    With it travel four descriptors: heap (read-only), heap (writable), index (read-only) and this client's lease
    table (writable); and a fifth one, spill heap (read-only), where objects are spilled.
    """

    client: int  # id of this client
    row: int  # its row of the index
    store: int  # id of the store, a random number of 64 bits
    pid: int  # of the store
    capacity: int  # bytes
    package: str  # version of jupyter_shm
    python: str


class Reserved(Message, frozen=True, tag="reserved"):
    """An extent for the client to fill; the store's again after Commit, Abandon or the end of the connection."""

    number: int
    id: int
    offset: int  # bytes from the start of the heap
    huge: int  # bytes of it, from its beginning on, that lie in huge pages: these are written fastest through a map


class NurseryReserved(Message, frozen=True, tag="nursery-reserved"):
    """An extent to cut objects out of, from its beginning on.

    The store's again after Abandon, but for what was committed.  An object begins at a multiple of what
    ``tables.alignment`` says.
    """

    number: int
    id: int  # 0: there is none to be had now
    offset: int  # bytes from the start of the heap
    nbytes: int
    ids: tuple[int, ...]  # of objects to come
    is_huge: bool  # all of it lies in huge pages


class Committed(Message, frozen=True, tag="committed"):
    """The object is LIVE and the index shows it."""

    number: int
    id: int
    version: int  # counts the puts under this name, from 1
    replaced_version: int  # 0 when the name was free
    replaced_label: str  # who had published it


class Done(Message, frozen=True, tag="done"):
    """The request was carried out."""

    number: int


class Found(Message, frozen=True, tag="found"):
    """The name is published as this object."""

    number: int
    id: int


class Ready(Message, frozen=True, tag="ready"):
    """These of the names waited for are published, and these objects are not to be waited for any more."""

    number: int
    names: tuple[str, ...]
    ids: tuple[int, ...] = ()


class ObjectFacts(msgspec.Struct, frozen=True, array_like=True):
    """What the store knows of one object."""

    id: int
    name: str  # "" for an anonymous one
    # "live"; "spilled": as live, but on disk; "held": its name is gone and somebody still reads its bytes; "pending": it
    # is still to be made; "lost": it will not be, for the client that was to make it has ended.
    state: str
    version: int
    payload: int  # bytes of data
    offset: int  # bytes from the start of the heap
    nbytes: int  # bytes of the extent
    created_ns: int  # nanoseconds since 1970
    client: int  # id of the publishing client
    label: str  # who that is, for people
    holders: tuple[int, ...]  # ids of clients that hold a lease on it; the first MAX_HOLDERS of them
    containers: int  # other objects whose bytes refer to this one's
    reads: int  # gets that had to build the object anew; at most 16,777,215 are told apart per client
    flags: int = 0  # PINNED and KERNEL_LIFETIME of the index
    expiry: int = 0  # when its name ends: nanoseconds of CLOCK_MONOTONIC; 0: never
    spilled: int = 0  # offset in the spill heap plus 1, where its bytes are; 0: they are in the heap


class Person(msgspec.Struct, frozen=True, array_like=True):
    """A connected client."""

    id: int
    pid: int
    label: str
    kernel: str


class Page(Message, frozen=True, tag="page"):
    """A part of the list; ``last`` is the ``after`` of the next request, 0 when there is no more."""

    number: int
    objects: tuple[ObjectFacts, ...]
    last: int


class Facts(Message, frozen=True, tag="facts"):
    """One object."""

    number: int
    object: ObjectFacts


class People(Message, frozen=True, tag="people"):
    """A part of the clients; ``last`` is the ``after`` of the next request, 0 when there is no more."""

    number: int
    clients: tuple[Person, ...]
    last: int


class Accounts(Message, frozen=True, tag="accounts"):
    """The store's accounts.  All sizes in bytes of memory pages, unless said otherwise."""

    number: int
    capacity: int
    used: int  # sealed objects in memory, held ones included
    held: int  # bytes of the extents whose names are gone, but which somebody still reads
    reserved: int  # extents that are being filled
    reserve: int  # the warm reserve: free pages that have memory
    objects: int  # sealed objects
    names: int
    clients: int
    payload: int  # bytes of data, as published
    uptime: float  # seconds since the first store process over this memory started
    pid: int  # of the store
    keeper: int  # process id of its keeper; 0 while it has none
    starts: int  # store processes over this memory so far: 1, and one more each time that it was started again
    package: str
    python: str
    spilled: int = 0  # bytes of the spill heap that objects take
    spilled_objects: int = 0
    spill_limit: int = 0  # bytes that it may take, as the disk was when it was asked last; 0 where nothing is spilled
    spill_reason: str = ""  # why nothing is spilled


class Holding(msgspec.Struct, frozen=True, array_like=True):
    """What a notebook, or another process, has of the memory."""

    label: str
    published: int  # bytes of the extents of what it has published
    read: int  # bytes of the extents that it reads


class Figures(msgspec.Struct, frozen=True, array_like=True):
    """Why a put did not fit: the accounts at that moment, in bytes."""

    asked: int  # pages that the object needs
    capacity: int
    used: int  # pages of sealed objects in memory
    held: int  # the part of it whose names are gone, but which somebody still reads
    busy: int  # the part of it that has names, or refs, and that somebody reads
    pinned: int  # the part of it that nobody reads, but that is pinned
    reserved: int  # extents that are being filled
    spillable: (
        int  # what would still have been spilled: asked is more than this and what capacity, used, reserved leave
    )
    spilled: int  # bytes of the spill heap that objects take
    spill_limit: int  # bytes that it may take
    available: int  # memory that the machine, or its cgroup, has left for this put; -1 if that was not the reason
    holders: tuple[Holding, ...]  # those who have most


class Event(msgspec.Struct, frozen=True, array_like=True):
    """Something that happened."""

    sequence: int  # its number: rises by one with every event of a store, and never goes back
    time: float  # seconds since 1970
    kind: str
    name: str  # "" for an anonymous object
    id: int  # of the object; 0 when it is about none
    version: int
    nbytes: int  # bytes of data
    who: str  # label of the client that did it; "" for the store itself


class Past(Message, frozen=True, tag="past"):
    """A part of the events."""

    number: int
    events: tuple[Event, ...]
    last: int  # the ``after`` of the next request
    has_more: bool  # the next request gets some at once
    is_lost: bool  # events between ``after`` and these are forgotten, or were another store process's


class Changed(Message, frozen=True, tag="changed"):
    """Something has happened since a watcher's last request for ``Events``.  It is not told again before the next one."""

    number: int  # 0: it answers nothing
    last: int  # number of the last event


class Refused(Message, frozen=True, tag="refused"):
    """The request was not carried out and nothing was changed."""

    number: int
    reason: str  # one of errors.REASON_CODES; "again": ask the same once more, under a new number
    text: str  # for people
    figures: Figures | None = None  # with "full"


Request: TypeAlias = (
    Hello
    | Forked
    | Reserve
    | ReserveNursery
    | Ring
    | Commit
    | Abandon
    | Cancel
    | Delete
    | Pin
    | Expire
    | Drop
    | Hint
    | Look
    | Wait
    | List
    | Info
    | Clients
    | Stats
    | SetCapacity
    | Events
    | Stop
    | Pend
    | Fulfil
)
Answer: TypeAlias = (
    Welcome
    | Reserved
    | NurseryReserved
    | Committed
    | Done
    | Found
    | Ready
    | Page
    | Facts
    | People
    | Accounts
    | Past
    | Changed
    | Refused
    | Pended
)
