"""``python -m benchmarks``: the same work with us and with every peer, in one run on one machine."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import signal
import sys
from pathlib import Path

from .files import write
from .machine import machine
from .measures import QUICK, Plan
from .peers import OTHERS, Kind, chosen
from .run import run, say
from .tables import document

RESULTS = Path(__file__).parent / "results"


def named(text: str) -> list[Kind]:
    """The peers that somebody asked for; argparse shows the reason of this error only."""
    try:
        return chosen(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def options() -> argparse.Namespace:
    """The command line; what it leaves out, the environment may say."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--peers",
        type=named,
        default=os.environ.get("PEERS", "all"),
        help=f"all, none, or some of {','.join(OTHERS)}; the variable PEERS if left out",
    )
    parser.add_argument("--only", choices=["us"], help="the same as --peers none")
    parser.add_argument("--quick", action="store_true", help="few tries of small arrays: do they work?")
    parser.add_argument("--objects", type=int, help="in the store that is killed; 100,000 if left out")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results")
    return parser.parse_args()


def main() -> None:
    """Measure, print the table, and keep it."""
    asked = options()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))  # so that what was started is ended
    others = [] if asked.only else asked.peers
    plan = QUICK if asked.quick else Plan()
    objects = asked.objects or (300 if asked.quick else 100_000)
    begin = dt.datetime.now(dt.timezone.utc)
    results = run(others, plan, objects)
    took = dt.datetime.now(dt.timezone.utc) - begin
    facts = {"measured": f"{begin:%Y-%m-%d %H:%M} UTC, in {took.seconds} s", **machine()}
    text = document(results, plan, facts, objects)
    print(text)
    for path in write(asked.results, f"{begin:%Y-%m-%d-%H%M%S}", text, results, facts, is_drawn=not asked.quick):
        say(f"wrote {path}")


if __name__ == "__main__":
    sys.exit(main())
