"""``jupyter shm``: the store from a terminal.

Verbs here look, tidy up, start and stop; objects are put and got in Python.  Only ``start`` and ``demo`` ever start a
store.  What takes long to import is imported by the verb that needs it.

Exit status: 0 done, 1 it went wrong (one line on stderr says what), 2 the command line makes no sense, 3 no store is
running.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import (
    ObjectNotFoundError,
    SettingError,
    ShmError,
    StoreInUseError,
    StoreUnresponsiveError,
    WireVersionError,
)
from .linux.machine import Fact, machine_facts, require_linux
from .sizes import format_size, parse_size

if TYPE_CHECKING:
    from .client.info import ObjectInfo, StoreStats
    from .client.store import Store
    from .linux.runtime import StorePaths

PATIENCE = 10.0
"""Seconds that a store has to end after a signal."""

FAILED, MISUSED, NO_STORE, INTERRUPTED, UNHEARD = 1, 2, 3, 130, 141
"""Exit statuses; the last two are those of a shell for SIGINT and SIGPIPE.  ``MISUSED`` is argparse's own."""


class _NotRunningError(Exception):
    """No store of that name runs, and this verb starts none."""


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The words behind ``jupyter shm``; those of this process if omitted.

    Returns:
        The exit status.

    Raises:
        SystemExit: The command line makes no sense, or help was asked for.
    """
    options = _parser().parse_args(argv)
    try:
        require_linux()
        status = options.verb(options)
        sys.stdout.flush()
    except _NotRunningError as error:
        _complain(str(error))
        return NO_STORE
    except BrokenPipeError:
        # Whoever reads us has enough.  Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNHEARD
    except (ShmError, OSError) as error:
        _complain(str(error))
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return int(status or 0)


# --- the command line ---------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    about = "One copy of an array or table for all notebooks and processes of this machine."
    parser = argparse.ArgumentParser(prog="jupyter shm", description=about, allow_abbrev=False)
    _add_store(parser, default=None)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    verb = _add_verb(verbs, "start", _start, "start the store; any first use does that too")
    verb.add_argument("--capacity", type=_checked(parse_size), metavar="SIZE", help="such as 8GB; half of the memory")

    verb = _add_verb(verbs, "stop", _stop, "end the store and all that it holds")
    verb.add_argument("--force", action="store_true", help="also while processes are connected, or it does not answer")

    verb = _add_verb(verbs, "ls", _ls, "list what is published")
    verb.add_argument("pattern", nargs="?", help="only names that match, as in a shell; quote it: 'run*'")
    verb.add_argument("--anonymous", action="store_true", help="objects without a name too")
    verb.add_argument("--json", action="store_true", help="for programs: a list of objects")

    verb = _add_verb(verbs, "info", _info, "tell everything about one object")
    verb.add_argument("name")
    verb.add_argument("--json", action="store_true", help="for programs: one object")

    verb = _add_verb(verbs, "rm", _rm, "take names away; who reads such an object keeps its bytes")
    verb.add_argument("names", nargs="+", metavar="name")

    _add_verb(verbs, "doctor", _doctor, "try what this machine allows, and say what to change")

    verb = _add_verb(verbs, "demo", _demo, "share real data between two kernels, in a store of its own")
    verb.add_argument("--keep", type=Path, metavar="PATH", help="save the notebook that was run")
    return parser


def _add_verb(verbs: Any, name: str, run: Callable[..., int | None], about: str) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(name, help=about, description=about, allow_abbrev=False)
    verb.set_defaults(verb=run)
    # Left out here, it must not undo what was said in front of the verb.
    _add_store(verb, default=argparse.SUPPRESS)
    return verb


def _add_store(parser: argparse.ArgumentParser, default: Any) -> None:
    about = "which store, if there are several (JUPYTER_SHM_STORE, or default)"
    parser.add_argument("--store", metavar="NAME", type=_checked(_store_name), default=default, help=about)


def _store_name(text: str) -> str:
    from .linux.runtime import store_name

    return store_name(text)


def _checked(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """Let argparse show our own sentence about a word that makes no sense."""

    def checked(text: str) -> Any:
        try:
            return convert(text)
        except SettingError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked


# --- starting and stopping ----------------------------------------------------------------------------------------


def _start(options: argparse.Namespace) -> None:
    from .client.store import Store

    try:
        store, what = Store(options.store, start=False), "runs already"
    except FileNotFoundError:
        with warnings.catch_warnings():
            # Somebody may start it in between; the capacity is compared below in any case.
            warnings.simplefilter("ignore")
            store, what = Store(options.store, capacity=options.capacity), "started"
    with store:
        paths, stats = _paths(store), store.stats()
    print(f"store {store.name!r} {what}")
    facts = ("pid", stats.pid), ("socket", paths.socket), ("capacity", format_size(stats.capacity)), ("log", paths.log)
    for label, value in facts:
        print(f"  {label:9}{value}")
    if options.capacity not in (None, stats.capacity):
        asked = format_size(options.capacity)
        _complain(f"warning: the {asked} asked for are not applied: stop the store first (`jupyter shm stop`)")


def _stop(options: argparse.Namespace) -> None:
    try:
        with _running(options) as store:
            stats, paths = store.stats(), _paths(store)
            store.shutdown(force=options.force)
    except StoreInUseError as error:
        raise StoreInUseError(f"{error} To force it, use --force.") from None
    except WireVersionError:
        _end(options, "speaks another wire version, so what it held could not be counted")
    except StoreUnresponsiveError:
        if not options.force:
            raise
        _end(options, "did not answer, so what it held could not be counted")
    else:
        if not _wait_for_lock(paths, time.monotonic() + PATIENCE):
            raise StoreUnresponsiveError(f"the store agreed to end, but somebody still holds {paths.lock}")
        print(f"store {store.name!r} (pid {stats.pid}) stopped; {_lost(stats)}")


def _lost(stats: StoreStats) -> str:
    if not stats.objects:
        return "it held nothing"
    return f"lost: {stats.objects:,} object{'s' * (stats.objects != 1)}, {format_size(stats.payload)}"


def _end(options: argparse.Namespace, why: str) -> None:
    """End a store that cannot be asked to: SIGTERM and, if it is to be forced, SIGKILL."""
    from .linux.runtime import store_name, store_paths

    name = store_name(options.store)
    paths = store_paths(name)
    pid = _listener(paths)
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        print(f"store {name!r} (pid {pid}) had just ended; it {why}")
        return
    try:
        sent = _signal(process, pid, paths, options.force)
    finally:
        os.close(process)
    print(f"store {name!r} (pid {pid}) was ended by {sent}; it {why}")


def _listener(paths: StorePaths) -> int:
    """The process behind the socket, by the kernel's word."""
    from .client.launch import connect
    from .linux.packets import peer_credentials

    try:
        sock = connect(paths)
    except StoreUnresponsiveError as error:
        raise StoreUnresponsiveError(
            f"nobody accepts connections at {paths.socket}, so the kernel does not tell who listens. `fuser "
            f"{paths.lock}` does; end that process."
        ) from error
    if sock is None:
        raise _NotRunningError(f"the store behind {paths.socket} has just ended")
    with sock:
        pid = peer_credentials(sock).pid
    if pid <= 0:
        raise StoreUnresponsiveError(
            f"the store behind {paths.socket} runs in another container, where its process cannot be reached from "
            "here. Stop it there."
        )
    return pid


def _signal(process: int, pid: int, paths: StorePaths, force: bool) -> str:
    """Send SIGTERM and wait; then SIGKILL, if that is allowed.

    Args:
        process: A pidfd: the number of a process that has ended may already mean another one.

    Returns:
        The signals that it took.
    """
    for number in (signal.SIGTERM, signal.SIGKILL)[: 1 + force]:
        signal.pidfd_send_signal(process, number)
        deadline = time.monotonic() + PATIENCE
        poll = select.poll()
        poll.register(process, select.POLLIN)
        if poll.poll(PATIENCE * 1000) and _wait_for_lock(paths, deadline):
            return "SIGTERM" if number == signal.SIGTERM else "SIGTERM and SIGKILL"
    advice = f"Somebody may hold {paths.lock}: look with `fuser`." if force else "Use --force to kill it."
    raise StoreUnresponsiveError(f"the store (pid {pid}) did not end within {PATIENCE:.0f} s of a signal. {advice}")


def _wait_for_lock(paths: StorePaths, deadline: float) -> bool:
    """Wait until another store may start in this one's place."""
    from .linux.runtime import take_lock

    while (lock := take_lock(paths.lock, wait=False)) is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    os.close(lock)
    return True


# --- looking and tidying up ---------------------------------------------------------------------------------------


def _ls(options: argparse.Namespace) -> None:
    with _running(options) as store:
        found = store.list(options.pattern, anonymous=options.anonymous)
    if options.json:
        _print_json([_as_dict(info) for info in found])
    else:
        _show(found if found or options.pattern is None else f"no name matches {options.pattern!r}")


def _info(options: argparse.Namespace) -> None:
    with _running(options) as store:
        info = store.info(options.name)
    if options.json:
        _print_json(_as_dict(info))
    else:
        _show(info)


def _rm(options: argparse.Namespace) -> int:
    status = 0
    with _running(options) as store:
        for name in options.names:
            try:
                store.delete(name)
            except ObjectNotFoundError as error:
                # The others are tidied up all the same.
                _complain(str(error))
                status = FAILED
            else:
                print(f"removed {name!r}")
    return status


def _as_dict(info: ObjectInfo) -> dict[str, Any]:
    facts = {field.name: getattr(info, field.name) for field in dataclasses.fields(info) if field.repr}
    holders = [dataclasses.asdict(holder) for holder in info.holders]
    return {**facts, "created": info.created.isoformat(), "holders": holders, "memory": info.explain()}


# --- doctor and demo ----------------------------------------------------------------------------------------------


def _doctor(options: argparse.Namespace) -> int:
    report = Report([*_versions(), *machine_facts(), *_store_facts(options)])
    _show(report)
    return FAILED if any(fact.verdict == "bad" for fact in report) else 0


class Report(list[Fact]):
    """What ``doctor`` found; shows itself as a table."""

    def __str__(self) -> str:
        width = max(len(fact.name) for fact in self)
        lines = []
        for fact in self:
            lines.append(f"{fact.verdict:4}  {fact.name:{width}}  {fact.value}")
            if fact.advice:
                lines.append(f"{'':4}  {'':{width}}  > {fact.advice}")
        return "\n".join(lines)

    def __rich__(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        colours = {"ok": "green", "warn": "yellow", "bad": "bold red"}
        table = Table(box=None, pad_edge=False)
        for heading in ("verdict", "what", "found", "what to do"):
            table.add_column(heading, overflow="fold")
        for fact in self:
            table.add_row(Text(fact.verdict, colours[fact.verdict]), fact.name, Text(fact.value), Text(fact.advice))
        return table


def _versions() -> list[Fact]:
    from importlib.metadata import PackageNotFoundError, version

    from . import __version__

    facts = [Fact("jupyter_shm", __version__, "ok")]
    for name in ("numpy", "cloudpickle", "ipykernel"):
        try:
            facts.append(Fact(name, version(name), "ok"))
        except PackageNotFoundError:
            facts.append(Fact(name, "not installed", "bad", f"Install it: pip install {name}"))
    return facts


def _store_facts(options: argparse.Namespace) -> list[Fact]:
    """The state of the store, if one runs."""
    from .linux.runtime import store_name

    title = f"store {store_name(options.store)!r}"
    try:
        with _running(options) as store:
            stats, paths = store.stats(), _paths(store)
    except _NotRunningError:
        return [Fact(title, "not running; the first use starts it", "ok")]
    except ShmError as error:
        return [Fact(title, "runs, but is of no use here", "bad", str(error))]
    share = stats.used / stats.capacity
    # Ours is one of them.
    clients = stats.clients - 1
    return [
        Fact(title, f"runs as pid {stats.pid} for {stats.uptime:.0f} s (jupyter_shm {stats.version})", "ok"),
        Fact("used", f"{format_size(stats.used)} of {format_size(stats.capacity)} ({share:.0%})", "ok"),
        Fact("objects", f"{stats.objects:,}, {stats.names:,} of them named", "ok"),
        Fact("clients", f"{clients} besides this command", "ok"),
        Fact("log", str(paths.log), "ok"),
    ]


def _demo(options: argparse.Namespace) -> None:
    from .demo import run

    print(run(options.keep))


# --- what the verbs share -----------------------------------------------------------------------------------------


def _running(options: argparse.Namespace) -> Store:
    """Connect to the store if it runs."""
    from .client.store import Store
    from .linux.runtime import store_name

    try:
        return Store(options.store, start=False)
    except FileNotFoundError:
        raise _NotRunningError(f"no store {store_name(options.store)!r} is running") from None


def _paths(store: Store) -> StorePaths:
    from .linux.runtime import store_paths

    return store_paths(store.name)


def _show(thing: object) -> None:
    """Print a table in colour for people, as plain text for pipes and files."""
    if sys.stdout.isatty():
        from rich.console import Console

        Console().print(thing, markup=False)
    else:
        print(thing)


def _print_json(data: object) -> None:
    print(json.dumps(data, indent=2))


def _complain(text: str) -> None:
    line = " ".join(text.split())  # one line, whatever a store or the system has said
    print(f"jupyter shm: {line}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
