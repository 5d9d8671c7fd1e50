"""The verbs about objects: ``ls``, ``info``, ``rm``, ``pin``, ``unpin``.  None of them starts a store or fetches an object."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import ObjectNotFoundError
from .terminal import FAILED, WRONG, complain, running_store, say, show, show_json

if TYPE_CHECKING:
    from ..client.info import ObjectInfo


def ls(options: argparse.Namespace) -> None:
    """List what is published."""
    with running_store(options) as store:
        found = store.list(options.pattern, anonymous=options.anonymous)
    if options.json:
        show_json([_as_dict(one) for one in found])
    elif not found and options.pattern is not None:
        say(f"no published name matches {options.pattern!r}")
    else:
        show(found)


def info(options: argparse.Namespace) -> None:
    """Tell everything about one object."""
    with running_store(options) as store:
        found = store.info(options.name)
    if options.json:
        show_json(_as_dict(found))
    else:
        show(found)


def rm(options: argparse.Namespace) -> int:
    """Take names away: every one that there is, and a complaint about each of the others."""
    from ..client.removal import is_pattern, removal_line, remove_matching

    if options.all == bool(options.names):
        complain("say what to delete: names, a pattern such as 'tmp*', or --all alone for every name")
        return WRONG
    with running_store(options) as store:
        status = _each(store.delete, [name for name in options.names if not is_pattern(name)], "deleted")
        for pattern in ["*"] if options.all else [name for name in options.names if is_pattern(name)]:
            removed = remove_matching(store, pattern)
            if removed:
                say(removal_line(removed))
            elif options.all:
                say("the store is empty")
            else:
                complain(f"no published name matches {pattern!r}")
                status = FAILED
    return status


def pin(options: argparse.Namespace) -> int:
    """Keep objects from expiring: each that there is, and a complaint about each of the others."""
    with running_store(options) as store:
        return _each(store.pin, options.names, "pinned")


def unpin(options: argparse.Namespace) -> int:
    """Let objects expire again: each that there is, and a complaint about each of the others."""
    with running_store(options) as store:
        return _each(store.unpin, options.names, "unpinned")


def _each(do: Callable[[str], None], names: list[str], done: str) -> int:
    status = 0
    for name in names:
        try:
            do(name)
        except ObjectNotFoundError as error:
            complain(str(error))
            status = FAILED
        else:
            say(f"{done} {name!r}")
    return status


def _as_dict(found: ObjectInfo) -> dict[str, Any]:
    facts = {field.name: getattr(found, field.name) for field in dataclasses.fields(found) if field.repr}
    holders = [dataclasses.asdict(holder) for holder in found.holders]
    return {**facts, "created": found.created.isoformat(), "holders": holders, "memory": found.explain()}
