"""One host process: does what it is asked to with one peer, in that peer's environment.

``python -m benchmarks.host PEER FOLDER``: each line of standard input is a request in JSON, each line of standard output
its answer.  What a peer prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from . import crossing, crowd, reading, writing
from .desk import Desk
from .peers import OTHERS, OURS

Task = Callable[..., Any]


def start(desk: Desk, capacity: int) -> dict[str, Any]:
    """Start what this peer needs, and be its first process."""
    before = time.perf_counter()
    address = desk.peer.start(capacity)
    took = time.perf_counter() - before
    desk.peer.settle()
    return {"address": address, "start": took, "versions": desk.peer.versions()}


def join(desk: Desk, address: str) -> float:
    """Be another process of it.

    Returns:
        Seconds that connecting took.
    """
    before = time.perf_counter()
    desk.peer.join(address)
    return time.perf_counter() - before


def stop(desk: Desk) -> None:
    """End what was started here."""
    desk.held.clear()
    desk.peer.stop()


TASKS: dict[str, Task] = {
    task.__name__: task
    for task in (
        start,
        join,
        stop,
        writing.first_put,
        writing.steady_put,
        writing.small_puts,
        writing.sustained_puts,
        writing.same_name,
        writing.publish,
        writing.forget,
        writing.fill,
        writing.size_put,
        reading.first_sum,
        reading.first_gets,
        reading.gets_again,
        reading.gets,
        reading.hold,
        reading.let_go,
        crossing.make_pipes,
        crossing.hand_off,
        crossing.take,
        crowd.crowd_puts,
        crowd.crowd_gets,
    )
}


def serve(desk: Desk, questions: TextIO, answers: TextIO) -> None:
    """Answer requests until there are no more."""
    for line in questions:
        request = json.loads(line)
        try:
            answer = {"result": TASKS[request.pop("task")](desk, **request)}
        except Exception as error:  # of any peer, and the next request may work
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main(name: str, folder: str) -> None:
    """Be a host of that peer."""
    # Peers print, and so do the processes that they start.
    answers, questions = os.fdopen(os.dup(1), "w"), os.fdopen(os.dup(0))
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    # Some peers keep a descriptor for each object.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    peer = {OURS.name: OURS, **OTHERS}[name].peer()
    peer.folder = Path(folder)
    serve(Desk(peer, Path(folder)), questions, answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
