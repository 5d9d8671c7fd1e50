"""What the verbs share: reaching the store that runs, printing answers, complaining."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..client.store import Store
    from ..linux.runtime import StorePaths

FAILED = 1
WRONG = 2  # the command line makes no sense


class NotRunningError(Exception):
    """No store of that name runs, and this verb starts none."""


def running_store(options: argparse.Namespace) -> Store:
    """Connect to the store that is meant, and never start it.

    Returns:
        A connection, owned by the caller.

    Raises:
        NotRunningError: It does not run.
        ShmError: As ``Store``.
    """
    from ..client.store import Store

    try:
        return Store(options.store, start=False)
    except FileNotFoundError:
        name, _ = place(options)
        raise NotRunningError(f"no store {name!r} is running") from None


def place(options: argparse.Namespace) -> tuple[str, StorePaths]:
    """Name and files of the store that is meant.  Errors as ``store_paths``."""
    from ..linux.runtime import store_name, store_paths

    name = store_name(options.store)
    return name, store_paths(name)


def show(thing: object) -> None:
    """Print a table in colour for people, as plain text for pipes and files."""
    if sys.stdout.isatty():
        from rich.console import Console

        Console().print(thing, markup=False, highlight=False)
    else:
        say(str(thing))


def show_json(data: object) -> None:
    """Print something for programs."""
    say(json.dumps(data, indent=2))


def say(line: str) -> None:
    """Print text as it is; lines are not broken at the width of the terminal."""
    sys.stdout.write(f"{line}\n")


def complain(text: str) -> None:
    """Say one line on stderr, however many the store or the system has said."""
    sys.stderr.write(f"jupyter shm: {' '.join(text.split())}\n")
