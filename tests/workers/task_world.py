"""Workers and a submitter as the graph has to take them: what they may do, in whatever order.  No process, no time."""

from __future__ import annotations

from jupyter_shm.workers import graph as g


class Frame:
    """A task that has begun, and what it waits for."""

    def __init__(self, task):
        self.task = task
        self.awaits: list[int] | None = None


class LaneOfWorld:
    """A worker: what lies in its socket, and its stack."""

    def __init__(self):
        self.socket: list[int] = []
        self.stack: list[Frame] = []
        self.is_dying = False

    @property
    def may_begin(self):
        return bool(self.socket) and not self.is_dying and (not self.stack or self.stack[-1].awaits is not None)


class World:
    """Carries out the actions of a graph, and checks each."""

    def __init__(self, width):
        self.graph = g.Graph(width)
        self.lanes: dict[int, LaneOfWorld] = {}
        self.outcome: dict[int, str] = {}  # of tasks that are over: "done", or why they failed
        self.begun: dict[int, int] = {}  # how often
        self.needs: dict[int, set[int]] = {}
        self.retries: dict[int, int] = {}
        self.cancelled: set[int] = set()
        self.next = 0
        self.agenda: list[object] = []
        self.is_busy = False

    # --- what a submitter does ------------------------------------------------------------------------------------

    def submit(self, needs=(), retries=0):
        task, self.next = self.next, self.next + 1
        self.needs[task], self.retries[task] = set(needs), retries
        failed = [need for need in needs if self.outcome.get(need, "done") != "done"]
        if failed:
            self.outcome[task] = self.outcome[failed[0]]
        else:
            self.do(self.graph.add(task, [need for need in needs if need not in self.outcome], retries))
        return task

    def cancel(self, task):
        self.cancelled.add(task)
        self.do(self.graph.cancel(task))

    # --- what a worker does ---------------------------------------------------------------------------------------

    def begin(self, number):
        lane = self.lanes[number]
        task = lane.socket.pop(0)
        self.begun[task] = self.begun.get(task, 0) + 1
        assert self.begun[task] <= 1 + self.retries[task], f"{task} has begun too often"
        assert task not in self.outcome
        assert all(self.outcome.get(need) == "done" for need in self.needs[task])
        lane.stack.append(Frame(task))

    def end(self, number, well):
        lane = self.lanes[number]
        frame = lane.stack.pop()
        assert frame.awaits is None
        self.outcome[frame.task] = "done" if well else "raised"
        self.do(self.graph.ended(number, frame.task, well=well))

    def wait(self, number, children):
        self.lanes[number].stack[-1].awaits = children
        self.do(self.graph.waits(number, [child for child in children if child not in self.outcome]))

    def resume(self, number):
        lane = self.lanes[number]
        lane.stack[-1].awaits = None
        below = next((frame for frame in reversed(lane.stack[:-1]) if frame.awaits is not None), None)
        if below is None:
            self.do(self.graph.resumes(number))
        else:
            self.do(self.graph.waits(number, [child for child in below.awaits if child not in self.outcome]))

    def die(self, number):
        lane = self.lanes.pop(number)
        children = {child for frame in lane.stack for child in frame.awaits or ()}
        self.do(self.graph.died(number, [frame.task for frame in lane.stack]))
        for child in children - self.outcome.keys():
            self.cancel(child)  # nobody wants them any more

    def resumable(self, lane):
        return (
            bool(lane.stack)
            and lane.stack[-1].awaits is not None
            and any(child in self.outcome for child in lane.stack[-1].awaits)
        )

    # --- what the graph wants ---------------------------------------------------------------------------------------

    def do(self, actions):  # noqa: C901 - one case for each action
        self.agenda += actions
        if self.is_busy:
            return
        self.is_busy = True
        self.steps = 0
        while self.agenda:
            self.steps += 1
            assert self.steps < 1000, "the graph goes round in circles"
            match action := self.agenda.pop(0):
                case tuple() if not isinstance(action, tuple(g.Action.__args__)):
                    self.agenda += self.graph.recalled(*action)
                case g.Start(lane):
                    assert lane not in self.lanes
                    self.lanes[lane] = LaneOfWorld()
                case g.Submit(lane, task):
                    assert task not in self.outcome
                    assert all(task not in other.socket for other in self.lanes.values())
                    self.lanes[lane].socket.append(task)
                case g.Recall(lane):
                    found = self.lanes[lane]
                    taken, found.socket = found.socket, []
                    self.agenda.append((lane, taken))  # told when all that was decided before is done
                case g.Kill(lane):
                    self.lanes[lane].is_dying = True
                case g.Retire(lane):
                    found = self.lanes.pop(lane)
                    assert not found.socket
                    assert not found.stack
                case g.Fail(task, cause):
                    assert task not in self.outcome
                    if cause == g.CANCELLED:
                        assert task in self.cancelled
                    elif cause == g.DIED:
                        assert self.begun[task] == 1 + self.retries[task]
                    else:
                        assert cause in self.needs[task]
                        assert self.outcome[cause] != "done"
                    self.outcome[task] = cause if isinstance(cause, str) else self.outcome[cause]
        self.is_busy = False

    def check(self):
        """What is always true between two events."""
        graph = self.graph
        placed = [task for lane in graph.lanes.values() for task in lane.queue]
        assert len(placed) == len(set(placed))
        assert set(graph.tasks) == self.needs.keys() - self.outcome.keys()
        for number, lane in graph.lanes.items():
            real = self.lanes[number]
            assert lane.queue == [frame.task for frame in real.stack] + real.socket
        staying = [lane for lane in graph.lanes.values() if not lane.is_leaving]
        assert len(staying) <= graph.width
        ready = [task for task, node in graph.tasks.items() if not node.needs and node.lane is None]
        if ready:
            assert len(staying) == graph.width
            assert all(lane.queue for lane in staying if not lane.wanted)
        elif any(not lane.queue and not lane.is_fresh for lane in staying):
            waiting = [
                real
                for number, real in self.lanes.items()
                if len(real.socket) > 1 and real.stack and not real.stack[-1].awaits
            ]
            assert not [lane for lane in waiting if not lane.is_dying], "somebody is idle, and another has too much"

    def run_out(self):
        """Let everybody do what he can: then all tasks are over."""
        for _ in range(100_000):
            number = next((number for number, lane in self.lanes.items() if self.can_move(lane)), None)
            if number is None:
                break
            lane = self.lanes[number]
            if lane.is_dying:
                self.die(number)
            elif self.resumable(lane):
                self.resume(number)
            elif lane.stack and lane.stack[-1].awaits is None:
                self.end(number, well=True)
            else:
                self.begin(number)
            self.check()
        left = self.needs.keys() - self.outcome.keys()
        assert not left, f"nothing moves, and these are not over: {left}"

    def can_move(self, lane):
        return (
            lane.is_dying
            or self.resumable(lane)
            or lane.may_begin
            or bool(lane.stack and lane.stack[-1].awaits is None)
        )
