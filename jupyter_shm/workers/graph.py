"""Which task may run, where, and what becomes of those that cannot: events in, actions out.  No I/O here, no time.

A task waits for what it needs, then in line, then in the queue of one worker, a **lane**, until it has ended.  Lanes have
queues so that a worker has its next task at hand; whoever has nothing to do is given what stands behind others.  Only the
lane's board knows which task of a queue has begun, so a task is taken back by a recall, and what came of it is an event.

A task that waits for tasks which it has submitted does their work meanwhile, if nobody has begun it: so workers never
wait for each other in a circle, and no more of them are needed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

DEPTH = 8
"""Tasks that a lane has at most, those that have begun included."""

DIED = "died"
CANCELLED = "cancelled"


class Start(NamedTuple):
    """Start a worker."""

    lane: int


class Submit(NamedTuple):
    """Give a task to a worker."""

    lane: int
    task: int


class Recall(NamedTuple):
    """Take back what a lane has not begun; ``recalled`` is the answer."""

    lane: int


class Kill(NamedTuple):
    """End a worker, whatever it does; ``died`` is the answer."""

    lane: int


class Retire(NamedTuple):
    """End a worker that has nothing to do, and will not be given anything."""

    lane: int


class Fail(NamedTuple):
    """A task will not run, or not to its end.

    Attributes:
        task: Which.
        cause: ``DIED``, ``CANCELLED``, or what it needed, which has failed.
    """

    task: int
    cause: int | str


Action: TypeAlias = Start | Submit | Recall | Kill | Retire | Fail


class Node:
    """One task.

    Attributes:
        needs: What it waits for: tasks, and what is promised elsewhere.
        retries: How often it may run again after a death.
        lane: Whose queue it is in.
        is_cancelled: It is to end, or not to begin.
    """

    __slots__ = ("is_cancelled", "lane", "needs", "retries")

    def __init__(self, needs: set[int], retries: int) -> None:
        self.needs = needs
        self.retries = retries
        self.lane: int | None = None
        self.is_cancelled = False


class Lane:
    """One worker.

    Attributes:
        queue: Its tasks, in the order in which they begin.
        is_fresh: It has not answered yet: it may be starting.
        is_leaving: It gets no more tasks.
        is_barren: It was recalled, and its queue has not changed since.
        wanted: What its task waits for: such tasks it may run meanwhile.
    """

    __slots__ = ("is_barren", "is_fresh", "is_leaving", "queue", "wanted")

    def __init__(self) -> None:
        self.queue: list[int] = []
        self.is_fresh = True
        self.is_leaving = False
        self.is_barren = False
        self.wanted: list[int] = []


class Graph:
    """All tasks that have not ended.

    Args:
        width: How many workers there may be.

    Every event returns what is to be done, in order.  What comes of it, ``recalled`` above all, is told when all of that
    is done, and not in between.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.tasks: dict[int, Node] = {}
        self.lanes: dict[int, Lane] = {}
        self._ready: deque[int] = deque()
        self._dependants: dict[int, list[int]] = {}
        self._next_lane = 0

    # --- tasks ------------------------------------------------------------------------------------------------------

    def add(self, task: int, needs: Iterable[int] = (), retries: int = 0) -> list[Action]:
        """A task was submitted.

        Args:
            task: Its number, a new one.
            needs: What it has to wait for.
            retries: How often it may run again after a death.
        """
        node = self.tasks[task] = Node(set(needs), retries)
        for need in node.needs:
            self._dependants.setdefault(need, []).append(task)
        if node.needs:
            return self._dispatch() if any(lane.wanted for lane in self.lanes.values()) else []
        self._ready.append(task)
        return self._dispatch()

    def settled(self, key: int) -> list[Action]:
        """What tasks may need is there."""
        for task in self._dependants.pop(key, ()):
            node = self.tasks.get(task)
            if node is not None:
                node.needs.discard(key)
                if not node.needs:
                    self._ready.append(task)
        return self._dispatch()

    def failed(self, key: int) -> list[Action]:
        """What tasks may need will never be there."""
        return self._fail_dependants(key) + self._dispatch()

    def ended(self, lane: int, task: int, *, well: bool) -> list[Action]:
        """A worker has answered."""
        found = self.lanes.get(lane)
        if found is None or task not in found.queue:
            return []
        found.queue.remove(task)
        found.is_fresh = found.is_barren = False
        del self.tasks[task]
        return self.settled(task) if well else self.failed(task)

    def cancel(self, task: int) -> list[Action]:
        """A task is not wanted any more."""
        node = self.tasks.get(task)
        if node is None or node.is_cancelled:
            return []
        node.is_cancelled = True
        if node.lane is not None:
            self.lanes[node.lane].is_barren = True
            return [Recall(node.lane)]
        if not node.needs:
            self._ready.remove(task)
        return self._fail(task, CANCELLED) + self._dispatch()

    # --- lanes ------------------------------------------------------------------------------------------------------

    def recalled(self, lane: int, tasks: Iterable[int]) -> list[Action]:
        """These tasks of a lane have not begun, and will not."""
        found = self.lanes.get(lane)
        actions: list[Action] = []
        if found is None:
            return actions
        for task in reversed([task for task in tasks if task in found.queue]):
            found.queue.remove(task)
            self.tasks[task].lane = None
            if self.tasks[task].is_cancelled:
                actions += self._fail(task, CANCELLED)
            else:
                self._ready.appendleft(task)
        if any(self.tasks[task].is_cancelled for task in found.queue):
            found.is_leaving = True
            actions.append(Kill(lane))
        return actions + self._dispatch()

    def died(self, lane: int, begun: Iterable[int]) -> list[Action]:
        """A worker is gone.

        Args:
            lane: Which.
            begun: Those of its tasks that had begun.
        """
        found = self.lanes.pop(lane, None)
        actions: list[Action] = []
        for task in reversed(found.queue if found is not None else ()):
            node = self.tasks[task]
            node.lane = None
            has_begun = task in begun
            if node.is_cancelled:
                actions += self._fail(task, CANCELLED)
            elif has_begun and not node.retries:
                actions += self._fail(task, DIED)
            else:
                node.retries -= has_begun
                self._ready.appendleft(task)
        return actions + self._dispatch()

    def waits(self, lane: int, wanted: list[int]) -> list[Action]:
        """The task of a lane waits until one of these has ended; it may do their work meanwhile."""
        found = self.lanes[lane]
        found.wanted = wanted
        return self._recall(lane) + self._dispatch()

    def resumes(self, lane: int) -> list[Action]:
        """The task of a lane goes on."""
        self.lanes[lane].wanted = []
        return self._recall(lane) + self._dispatch()

    def resize(self, width: int) -> list[Action]:
        """From now on there may be so many workers; those that there are end with their last task."""
        self.width = width
        actions: list[Action] = []
        for number, lane in self.lanes.items():
            lane.is_leaving = True
            actions += self._recall(number) if len(lane.queue) > 1 else []
        return actions + self._dispatch()

    def start(self) -> list[Action]:
        """Start all workers now."""
        return [self._start() for _ in range(self.width - self._staying())]

    def queue_of(self, lane: int) -> list[int]:
        """The tasks of a lane that have not ended."""
        return list(self.lanes[lane].queue) if lane in self.lanes else []

    # --- inside -----------------------------------------------------------------------------------------------------

    def _fail(self, task: int, cause: int | str) -> list[Action]:
        del self.tasks[task]
        return [Fail(task, cause), *self._fail_dependants(task)]

    def _fail_dependants(self, key: int) -> list[Action]:
        actions: list[Action] = []
        failed = [key]
        while failed:
            cause = failed.pop()
            for task in self._dependants.pop(cause, ()):
                if self.tasks.pop(task, None) is not None:
                    actions.append(Fail(task, cause))
                    failed.append(task)
        return actions

    def _recall(self, lane: int) -> list[Action]:
        found = self.lanes[lane]
        if found.is_barren or not found.queue:
            return []
        found.is_barren = True
        return [Recall(lane)]

    def _staying(self) -> int:
        return sum(not lane.is_leaving for lane in self.lanes.values())

    def _start(self) -> Start:
        number = self._next_lane
        self._next_lane += 1
        self.lanes[number] = Lane()
        return Start(number)

    def _submit(self, lane: int, task: int) -> Submit:
        found = self.lanes[lane]
        found.queue.append(task)
        found.is_barren = False
        self.tasks[task].lane = lane
        return Submit(lane, task)

    def _dispatch(self) -> list[Action]:
        actions: list[Action] = []
        if any(lane.wanted for lane in self.lanes.values()):
            actions += self._help()
        while self._ready:
            lane = self._shortest()
            if (lane is None or self.lanes[lane].queue) and self._staying() < self.width:
                actions.append(start := self._start())
                lane = start.lane
            if lane is None:
                return actions
            actions.append(self._submit(lane, self._ready.popleft()))
        return actions + self._share()

    def _shortest(self) -> int | None:
        """Where a task begins soonest."""
        best, score = None, (DEPTH, True)
        for number, lane in self.lanes.items():
            if (len(lane.queue), lane.is_fresh) < score and not (lane.is_leaving or lane.wanted):
                best, score = number, (len(lane.queue), lane.is_fresh)
        return best

    def _share(self) -> list[Action]:
        """Nobody stands in line: whoever has nothing to do is to have what stands behind others."""
        actions: list[Action] = []
        idle, longest, length = False, None, 1
        for number, lane in self.lanes.items():
            if not lane.queue:
                if lane.is_leaving:
                    actions.append(Retire(number))
                else:
                    idle = idle or not lane.is_fresh
            elif not (lane.is_barren or lane.wanted) and len(lane.queue) + lane.is_fresh > length:
                longest, length = number, len(lane.queue) + lane.is_fresh
        for action in actions:
            del self.lanes[action.lane]  # type: ignore[union-attr]
        return actions + (self._recall(longest) if idle and longest is not None else [])

    def _help(self) -> list[Action]:
        """Give those who wait some of the work that they wait for."""
        actions: list[Action] = []
        for number, lane in self.lanes.items():
            if not lane.wanted or self._is_busy(lane):
                continue
            found = self._claim(lane.wanted)
            if found is None:
                continue
            if self.tasks[found].lane is None:
                self._ready.remove(found)
                actions.append(self._submit(number, found))
            else:
                actions += self._recall(self.tasks[found].lane)  # type: ignore[arg-type]
        return actions

    def _is_busy(self, lane: Lane) -> bool:
        """Has a lane that waits been given something since?"""
        return any(task in lane.queue for task in self._all_needs(lane.wanted))

    def _claim(self, wanted: list[int]) -> int | None:
        """A task that has not begun, as far as is known, and without which one of these cannot end."""
        behind = None
        for task in self._all_needs(wanted):
            node = self.tasks.get(task)
            if node is None or node.needs:
                continue
            if node.lane is None:
                return task
            lane = self.lanes[node.lane]
            if behind is None and not lane.is_barren and lane.queue[0] != task and not lane.wanted:
                behind = task
        return behind

    def _all_needs(self, wanted: list[int]) -> list[int]:
        """These, and all that they wait for."""
        found: dict[int, None] = dict.fromkeys(wanted)
        todo = list(wanted)
        while todo:
            node = self.tasks.get(todo.pop())
            for need in node.needs if node is not None else ():
                if need not in found:
                    found[need] = None
                    todo.append(need)
        return list(found)
