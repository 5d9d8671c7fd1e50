"""A hand-off: put, tell another process over a pipe, touch it there, tell back.  Runs in two host processes."""

from __future__ import annotations

import os
import time
from typing import BinaryIO

from .arrays import pattern, stamp, touch
from .clock import settled, turns
from .desk import Desk
from .peers.peer import fresh


def make_pipes(desk: Desk) -> None:
    """The pipe there and the pipe back."""
    for name in ("there", "back"):
        os.mkfifo(desk.folder / name)


def hand_off(desk: Desk, nbytes: int, tries: int, limit: float) -> float:
    """The publisher's side.

    Returns:
        Median seconds from the put until the other process has told that it has read one byte of every page.
    """
    array = pattern(nbytes)
    times = []
    with (desk.folder / "there").open("wb", buffering=0) as there, (desk.folder / "back").open("rb") as back:
        for number in turns(tries, limit):
            stamp(array, number)
            wanted, name = touch(array), fresh()
            start = time.perf_counter()
            handle = desk.peer.put(array, name)
            there.write(desk.peer.key(handle).encode() + b"\n")
            answer = back.readline()
            times.append(time.perf_counter() - start)
            assert int(answer) == wanted, "the other process has read something else"
            desk.peer.delete(handle)
            del handle
    return settled(times)


def take(desk: Desk, nbytes: int) -> None:
    """The reader's side: until the pipe ends."""
    with (desk.folder / "there").open("rb") as there, (desk.folder / "back").open("wb", buffering=0) as back:
        for number, key in enumerate(_lines(there), start=1):
            array = desk.peer.get(desk.peer.open(key))
            ends, read = (array[0], array[-1]), touch(array)
            back.write(b"%d\n" % read)  # from here on its publisher may delete it: some peers do, under its readers
            assert ends == (number, number), f"{ends} arrived, not {number}"
            assert array.nbytes == nbytes
            del array
            desk.peer.tidy()


def _lines(pipe: BinaryIO):
    while line := pipe.readline():
        yield line.decode().rstrip("\n")
