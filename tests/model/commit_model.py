"""The name protocol as a transition system: clients put and delete, a reader gets without asking, the store may die.

**Memory.**  The index shows every write of the store at once and in order.  That a write may come late is the subject
of ``lease_model``; here a reader may look, anybody may act, and the store may die, between any two writes.

**A request** is a packet in its client's queue.  The store looks at the head of a queue, carries it out in separate
writes, notes its number in the client's row, whether it was done or refused, sends the answer, and then consumes it.
A client matches answers by number, and draws a number for each request, higher than all before.

**A put.**  The client reserves: the store makes a free slot RESERVED, with a free extent.  The client fills the extent
and commits.  The store writes the record of a second free slot and makes it LIVE, frees the reservation's slot, lets
the name mean the new slot, makes the old one DYING.  **A delete:** the store writes into the slot who ends it, makes
it DYING, clears the name.  **A put of what must not be there** is refused when something is, and the client cancels
its reservation; a delete of nothing is refused, too.  **Putting again** what is stored copies nothing: the new object
lists the old one as contained, and the client holds a lease on it from before it reserves until the call returns.

**A get.**  Read the name word; look at that slot; if it is LIVE and is the name's, and the name word still says it,
take a lease (one step here, and what ``lease_model`` is about).  Anything else is a miss, and a miss is never believed:
the store is asked, drains every queue and answers with an object, which the reader takes if it is still LIVE, or with
"no such name".

**A free.**  Between packets, a DYING slot that no lease holds and no living object contains is made FREE; after that
its extent is given back and punched.

**A death** takes what the store has in its memory, and nothing else.  ``commit_restart`` tells what the next one does.
Clients and readers go on meanwhile.

**A jam.**  If the model is told so, an answer may find no room in its client's receive queue.  Then it waits in the
store, its packet stays at the head of its queue, and the store turns to others.  Until the answer is sent, a slot that
tells what came of the request is not freed.

**The promises** are in ``commit_promises``.  Every safeguard can be taken out by a field of ``commit_protocol``'s
``Protocol``, whose comments say what then goes wrong.  No I/O here.
"""

from __future__ import annotations

from collections.abc import Iterator

from .commit_clients import Clients, GettingReader
from .commit_promises import Promises
from .commit_protocol import HEALTHY, Protocol, Setting
from .commit_restart import Restart
from .commit_scenario import NAMES, NONE, Scenario
from .commit_state import FREE_SLOT, Client, Reader, Stage, State, Store
from .commit_store import ServingStore
from .commit_writes import Step, Writes


class CommitModel:
    """The transition system of one scenario under one protocol.

    Args:
        scenario: The clients' operations; each client does its own in this order.
        protocol: The safeguards in force.
        slots: Slots of the index.  With few of them the store uses slots again; a put waits for two free ones.
        extents: Extents of the heap, likewise.
        deaths: How often the store may die.
        jams: How often an answer may find no room.
    """

    def __init__(
        self,
        scenario: Scenario,
        protocol: Protocol = HEALTHY,
        *,
        slots: int = 4,
        extents: int = 3,
        deaths: int = 0,
        jams: int = 0,
    ) -> None:
        self._setting = Setting(scenario, protocol)
        self._slots, self._extents, self._deaths, self._jams = slots, extents, deaths, jams
        self.promises = Promises(self._setting)
        self._writes = Writes(self._setting)
        self._store = ServingStore(self._setting, self._writes, self.promises)
        self._restart = Restart(self._setting, self._writes)
        self._clients = Clients(self._setting)
        self._reader = GettingReader(self._setting, self.promises)

    @property
    def initial(self) -> State:
        """Nothing is stored, nobody has begun."""
        clients = len(self._setting.programs)
        return State(
            slots=(FREE_SLOT,) * self._slots,
            names=(NONE,) * len(NAMES),
            rows=(0,) * clients,
            heap=(NONE,) * self._extents,
            requests=((),) * clients,
            answers=((),) * clients,
            store=Store(Stage.SERVING, free_extents=frozenset(range(self._extents))),
            clients=(Client(),) * clients,
            reader=Reader(),
            deaths_left=self._deaths,
            jams_left=self._jams,
            applied=((),) * len(NAMES),
        )

    def successors(self, state: State) -> Iterator[Step]:
        """List every step that any party can take now."""
        for number in range(len(state.clients)):
            yield from self._clients.steps(state, number)
        yield from self._reader.steps(state)
        yield from self._restart.dies(state)
        if state.store.task is not None:
            yield from self._writes.next(state, state.store.task)
        elif state.store.stage is Stage.SERVING:
            yield from self._store.steps(state)
        else:
            yield from self._restart.steps(state)
