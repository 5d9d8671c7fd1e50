"""The safeguards of the name protocol, each of which can be taken out, and the setting of a model.  No steps here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from .commit_scenario import Operation, Scenario, show


@dataclass(frozen=True)
class Protocol:
    """Which safeguards are in force.  All of them make the protocol; each mutant lacks one."""

    # --- while the store lives

    # Without it a named put or delete returns as soon as it is sent, and the old value is still got.
    two_way: bool = True
    # Without it the answer is the first thing that a put does, and the call returns before the index shows it.
    answer_after_names: bool = True
    # Without it a reader that meets the old slot of a name just overwritten reports that nothing is there.
    misses_ask: bool = True
    # Without it and the next one, a late reader takes the object that now has the slot of the one it looked up.  (Here
    # the next one is enough.  In the index two names may have one hash.)
    names_compared: bool = True
    # Without it a late reader takes a newer version, in a slot used again, before the name means it, then an older.
    name_read_again: bool = True
    # Without it bytes are punched under a reader.
    frees_look_at_leases: bool = True
    # Without it an object that another one contains is freed when its own name goes.
    frees_look_at_containers: bool = True
    # Without it contained bytes go together with their container's name, under those who still hold the container.
    dying_containers_count: bool = True
    # Without it the contained object may be gone before the store lists it, and the put has to be refused.
    lease_until_answer: bool = True
    # Without it the allocator gives away an extent that a slot still names.
    free_before_giving_back: bool = True

    # --- what a store leaves to the one that comes after it

    # Without it a request that the store died at is gone, and its call never returns.
    answer_before_consuming: bool = True
    # Without it a refused request that is seen again is carried out, after its call has said that it was refused.
    rows_count_refusals: bool = True
    # Without it nothing tells that an object is DYING by a Delete that is seen again.
    enders: bool = True
    # Without it an object may be DYING before that is told.
    ender_before_dying: bool = True
    # Without it there is a moment in which no slot has the extent, and the bytes are punched.
    live_before_reservation_free: bool = True
    # Without it the client takes the second answer to one request for the answer to its next one.
    answers_matched: bool = True

    # --- a restart

    # Without it a request whose row was not written yet is carried out twice.
    rows_raised: bool = True
    # Without it the slot of a reservation that was committed stays, and its extent has two owners.
    twins_resolved: bool = True
    # Without it the older of two LIVE slots with one name stays, and comes back when the newer one is gone.
    losers_end: bool = True
    # Without it a name does not mean what was committed last.
    names_rebuilt: bool = True
    # Without it an extent whose slot is FREE already is never given away again.
    unowned_given_back: bool = True
    # Without it commits begin at 1 again, and the older of two LIVE slots wins.
    sequence_restored: bool = True
    # Without it others may change what a request had done, before it is seen again.
    heads_first: bool = True
    # Without it a refused request that is seen again is said to be done.
    unknown_is_asked_again: bool = True

    # --- if answers may wait in the store for room in a receive queue

    # Without it a slot is freed that alone could tell what came of a request, which is seen again.
    unanswered_keep_slots: bool = True


HEALTHY = Protocol()


@dataclass(frozen=True)
class Setting:
    """What all parts of a model share.

    Args:
        scenario: The clients' operations; each client does its own in this order.
        protocol: The safeguards in force.
    """

    scenario: Scenario
    protocol: Protocol

    @cached_property
    def programs(self) -> tuple[tuple[int, ...], ...]:
        """The numbers of each client's operations, in order."""
        clients = range(1 + max(operation.client for operation in self.scenario))
        return tuple(tuple(n for n, op in enumerate(self.scenario) if op.client == client) for client in clients)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names that occur."""
        return tuple(sorted({operation.name for operation in self.scenario}))

    def operation(self, number: int) -> Operation:
        """An operation by its number."""
        return self.scenario[number]

    def show(self, number: int) -> str:
        """An operation, or the object that it made, for people."""
        return show(self.scenario, number)
