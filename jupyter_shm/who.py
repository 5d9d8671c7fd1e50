"""Who holds an object, in this notebook and elsewhere, and letting go of it: %shm_who and %shm_release."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from IPython.core.error import UsageError
from IPython.core.magic import line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments

from .client.hold import clients, holds
from .client.info import Holder, ObjectInfo
from .client.store import Store
from .errors import ObjectNotFoundError
from .family import Family
from .grip import explained, release
from .invocation import parsed, unquoted
from .sizes import format_size

if TYPE_CHECKING:
    pass


@magics_class
class Grips(Family):
    """Find out what keeps an object, and let go of it."""

    @magic_arguments()
    @argument("names", nargs="+", metavar="name", type=unquoted, help="published, or deleted and still held here")
    @line_magic
    @parsed
    def shm_who(self, args: Namespace) -> None:
        """Show who holds an object: other processes, and the variables, outputs and errors of this notebook."""
        store = self._connect()
        for lines in [self._who(store, name) for name in args.names]:
            print(*lines, sep="\n")

    @magic_arguments()
    @argument("names", nargs="+", metavar="name", type=unquoted, help="published, or deleted and still held here")
    @line_magic
    @parsed
    def shm_release(self, args: Namespace) -> None:
        """Let go of all views of an object in this notebook, and print what was cleared.

        Variables that hold or contain such a view are deleted, outputs and the last error forgotten.  The object
        stays published; if its name is gone and nobody else reads it, its memory is free.
        """
        store = self._connect()
        held = [name for name in args.names if holds(store.name, name)]
        for name in args.names:
            if name not in held:
                _require(store, name)
        for name in args.names:
            print(*release(self.shell, store.name, name), sep="\n")

    def _who(self, store: Store, name: str) -> list[str]:
        """The lines about one name: each version that is published or held here, and who holds it."""
        found = holds(store.name, name)
        current = _info(store, name)
        if current is None and not found:
            _require(store, name)
        lines = []
        if current is not None and current.id not in {hold.ref.id for hold in found}:
            lines += [_heading(name, current.version, current.nbytes, ""), *_others(store, current)]
        for hold in found:
            is_current = current is not None and current.id == hold.ref.id
            info = current if is_current else _info(store, hold.ref)
            state = (
                "" if is_current else "; its name is gone" if current is None else "; its name means another version"
            )
            lines.append(_heading(name, hold.ref.version, hold.nbytes, state))
            lines += [f"  this kernel: {grip}" for grip in explained(self.shell, [hold])]
            lines += _others(store, info)
        return lines if len(lines) > 1 else [f"{lines[0]}; nobody holds it"]


def _others(store: Store, info: ObjectInfo | None) -> list[str]:
    ours = clients(store.name)
    holders = info.holders if info is not None else ()
    return [f"  {_described(one)}" for one in holders if one.client not in ours]


def _described(holder: Holder) -> str:
    kernel = f", kernel {holder.kernel[:8]}" if holder.kernel else ""
    return f"{holder.label}: pid {holder.pid}{kernel}, client {holder.client}"


def _heading(name: str, version: int, nbytes: int, state: str) -> str:
    return f"{name}: version {version}, {format_size(nbytes)}{state}"


def _info(store: Store, key: object) -> ObjectInfo | None:
    try:
        return store.info(key)
    except ObjectNotFoundError:
        return None


def _require(store: Store, name: str) -> None:
    if _info(store, name) is None:
        raise UsageError(f"nothing is published under {name!r}, and this kernel holds nothing of that name")
