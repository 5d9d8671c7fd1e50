"""The graph of tasks, alone: whatever workers do, each task ends, none begins too early or too often."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from task_world import World

from jupyter_shm.workers import graph as g


class GraphMachine(RuleBasedStateMachine):
    """Random lives of tasks."""

    def __init__(self):
        super().__init__()
        self.world = World(2)

    def lanes(self, test):
        return [number for number, lane in self.world.lanes.items() if not lane.is_dying and test(lane)]

    @rule(data=st.data(), retries=st.integers(0, 2), count=st.integers(1, 12))
    def submit(self, data, retries, count):
        known = list(self.world.needs)
        for _ in range(count):
            needs = data.draw(st.sets(st.sampled_from(known), max_size=3)) if known else ()
            self.world.submit(needs, retries)

    @precondition(lambda self: self.lanes(lambda lane: lane.may_begin))
    @rule(data=st.data())
    def begin(self, data):
        self.world.begin(data.draw(st.sampled_from(self.lanes(lambda lane: lane.may_begin))))

    def running(self):
        return self.lanes(lambda lane: lane.stack and lane.stack[-1].awaits is None)

    @precondition(lambda self: self.running())
    @rule(data=st.data(), well=st.sampled_from([True, True, True, False]))
    def end(self, data, well):
        self.world.end(data.draw(st.sampled_from(self.running())), well)

    @precondition(lambda self: self.running())
    @rule(data=st.data(), count=st.integers(1, 3), chained=st.booleans())
    def submit_inside_and_wait(self, data, count, chained):
        number = data.draw(st.sampled_from(self.running()))
        children = []
        for _ in range(count):
            children.append(self.world.submit(children[-1:] if chained else ()))
        self.world.wait(number, children[-1:] if chained else children)

    @precondition(lambda self: self.lanes(self.world.resumable))
    @rule(data=st.data())
    def resume(self, data):
        self.world.resume(data.draw(st.sampled_from(self.lanes(self.world.resumable))))

    @precondition(lambda self: self.world.lanes)
    @rule(data=st.data())
    def die(self, data):
        self.world.die(data.draw(st.sampled_from(list(self.world.lanes))))

    @precondition(lambda self: self.world.needs)
    @rule(data=st.data())
    def cancel(self, data):
        self.world.cancel(data.draw(st.sampled_from(list(self.world.needs))))

    @rule(width=st.integers(1, 4))
    def resize(self, width):
        self.world.do(self.world.graph.resize(width))

    @invariant()
    def all_is_consistent(self):
        self.world.check()

    def teardown(self):
        self.world.run_out()


GraphMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestGraph = GraphMachine.TestCase


def test_tasks_are_spread_before_they_are_queued():
    world = World(3)
    for _ in range(5):
        world.submit()

    assert [len(lane.socket) for lane in world.lanes.values()] == [2, 2, 1]


def test_who_has_nothing_to_do_is_given_what_stands_behind_another():
    world = World(2)
    for _ in range(4):
        world.submit()
    world.begin(0)
    for _ in range(2):
        world.begin(1)
        world.end(1, well=True)

    assert [len(lane.socket) for lane in world.lanes.values()] == [0, 1]


def test_a_queue_has_a_limit_and_what_is_beyond_stays_in_line():
    world = World(1)
    for _ in range(100):
        world.submit()

    assert len(world.lanes[0].socket) == g.DEPTH


def test_a_task_that_was_taken_back_keeps_its_place_in_the_line():
    world = World(1)
    tasks = [world.submit() for _ in range(12)]
    world.begin(0)
    world.do([g.Recall(0)])
    world.end(0, well=True)
    order = [tasks[0]]
    while world.lanes[0].may_begin:
        order.append(world.lanes[0].socket[0])
        world.begin(0)
        world.end(0, well=True)

    assert order == tasks


@pytest.mark.parametrize("depth", [1, 5, 30])
def test_a_recursion_deeper_than_there_are_workers_ends(depth):
    world = World(1)
    world.submit()
    for _ in range(depth):
        world.begin(0)
        world.wait(0, [world.submit()])
    world.run_out()

    assert set(world.outcome.values()) == {"done"}
