"""The verbs about objects: ``ls``, ``info``, ``rm``.  None of them starts a store or fetches an object."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any

from ..errors import ObjectNotFoundError
from .terminal import FAILED, complain, running_store, say, show, show_json

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
    status = 0
    with running_store(options) as store:
        for name in options.names:
            try:
                store.delete(name)
            except ObjectNotFoundError as error:
                complain(str(error))
                status = FAILED
            else:
                say(f"deleted {name!r}")
    return status


def _as_dict(found: ObjectInfo) -> dict[str, Any]:
    facts = {field.name: getattr(found, field.name) for field in dataclasses.fields(found) if field.repr}
    holders = [dataclasses.asdict(holder) for holder in found.holders]
    return {**facts, "created": found.created.isoformat(), "holders": holders, "memory": found.explain()}
