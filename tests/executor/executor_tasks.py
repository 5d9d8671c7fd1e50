"""What the executor's tests have workers do.  In a file of its own: a worker imports it."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np

PREPARED: list[object] = []


def prepare(value):
    PREPARED.append(value)


def prepared():
    return PREPARED


def fail_to_prepare():
    raise ValueError("no start")


def add_one(array):
    array += 1
    return array


def divide(a, b):
    return a // b


def interrupt_me():
    os.kill(os.getpid(), signal.SIGINT)
    return "not interrupted"


class Locked(Exception):  # noqa: N818
    """Cannot be pickled."""

    def __init__(self):
        super().__init__("locked")
        self.lock = threading.Lock()


class TwoWords(Exception):  # noqa: N818
    """Can be pickled, and not be unpickled: pickle gives it one argument."""

    def __init__(self, first, second):
        super().__init__(f"{first} {second}")


def raise_locked():
    raise Locked


def raise_two_words():
    raise TwoWords("a", "b")


class Mine:
    """Code that runs when it is pickled, or unpickled, in either direction."""

    def __init__(self, when, what):
        self.when = when
        self.what = what

    def __reduce__(self):
        if self.when == "pickle":
            self.what()
        return (Mine, (self.when, self.what)) if self.when == "pickle" else (self.what, ())


def mine(when, what):
    return Mine(when, what)


def die():
    os._exit(3)


def fail():
    raise ValueError("on purpose")


def leave():
    raise SystemExit(4)


def facts(value):
    """Sum, may it be written."""
    return float(np.sum(value)), value.flags.writeable
