"""The actors that tests share, and what calls them."""

from __future__ import annotations

import os
import signal

import pytest

import jupyter_shm as shm
from jupyter_shm import errors


@shm.remote
class Counter:
    """Counts."""

    def __init__(self, start=0):
        self.count = start
        self.friend = None

    def add(self, amount=1):
        self.count += amount
        return self.count

    def pid(self):
        return os.getpid()

    def fail(self):
        self.count += 100
        raise LookupError("on purpose")

    def end(self, how):
        how()

    def wait_for(self, name):
        shm.get(name, timeout=30)
        return self.count

    @shm.method(num_returns=2)
    def pair(self):
        return self.count, -self.count

    def befriend(self, friend):
        self.friend = friend

    def ask_friend(self, amount):
        return shm.get(self.friend.add.remote(amount))

    def square_elsewhere(self, x):
        return shm.get(square.remote(x))

    def look(self, one, many):
        return type(one).__name__, type(many[0]).__name__, one.flags.writeable

    def double(self, array):
        return array * 2

    def say(self, text):
        print(text)


@shm.remote
class Broken:
    def __init__(self, text):
        raise LookupError(text)

    def add(self):
        return 1


@shm.remote
def square(x):
    return x * x


@shm.remote
def add_often(counter, times):
    return shm.get([counter.add.remote(1) for _ in range(times)])


@shm.remote
def make_one(start):
    counter = Counter.remote(start)
    return shm.get(counter.add.remote(1)), shm.get(counter.pid.remote())


@shm.remote
def make_and_give(start):
    return [Counter.remote(start)]


@shm.remote
def kill_actor(counter):
    shm.kill(counter)


def exit_at_once():
    os._exit(3)


def kill_it():
    os.kill(os.getpid(), signal.SIGKILL)


def died(ref):
    with pytest.raises(errors.ActorDiedError) as caught:
        shm.get(ref, timeout=60)
    return str(caught.value)
