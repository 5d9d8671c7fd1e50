"""The line magics of notebooks.

How they are called is in ``invocation``, what Tab offers in ``completion``, who holds an object in ``who``, the cell magic
in ``cells``, and how IPython loads them in ``extension``.

A magic says what it did in lines without times or ids, so that the output of a notebook stays the same from run to
run; and a mistake of the user is one line that says what to do, not a traceback into this package.
"""

from __future__ import annotations

import difflib
import sys
import time
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class, needs_local_scope
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import display
from traitlets import Unicode, observe

from .client.arguments import UNSET
from .client.default import default_store
from .client.identity import kernel_id, label
from .client.info import ObjectInfo, format_shape
from .client.refs import ObjectRef
from .client.removal import is_pattern, removal_line, remove_matching
from .client.store import Store
from .client.terms import KERNEL, STORE
from .durations import format_duration, parse_duration
from .errors import InvalidModeError, ObjectNotFoundError
from .invocation import is_expression, is_variable, parsed, seconds, unquoted
from .sizes import format_size

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


@magics_class
class JupyterShm(Magics):
    """Share arrays and tables between the notebooks of this machine."""

    store = Unicode(
        help="Name of the store that the magics use; empty for the default one, as in `shm.put` and `shm.get`."
    ).tag(config=True)

    shell: InteractiveShell
    _named: Store | None = None

    def connect(self) -> Store:
        """The store of the ``store`` setting; started if it does not run."""
        if not self.store:
            return default_store()
        if self._named is None:
            self._named = Store(self.store)
        return self._named

    @observe("store")
    def disconnect(self, _change: object = None) -> None:
        """Let go of the connection that ``connect`` made; views that were fetched through it stay valid."""
        named, self._named = self._named, None
        if named is not None:
            named.close()

    # --- put and get -------------------------------------------------------------------------------------------

    @magic_arguments()
    @argument("variables", nargs="+", metavar="variable", help="what to publish, each under its own name")
    @argument("--name", type=unquoted, help="publish it under this name instead; for one variable")
    @argument("--rebind", action="store_true", help="make the variable the stored, read-only view: frees this copy")
    @argument("--no-overwrite", action="store_true", help="refuse if the name is taken")
    @argument("--ttl", type=unquoted, metavar="time", help="the name ends after this time: 90s, 10m, 1h30m, 2d")
    @argument("--lifetime", choices=[STORE, KERNEL], default=STORE, help="kernel: the name ends with this kernel")
    @argument("--pin", action="store_true", help="keep it from expiring and from being spilled to disk")
    @needs_local_scope
    @line_magic
    @parsed
    def shm_put(self, args: Namespace) -> None:
        """Publish variables: every kernel of this machine can fetch them with %shm_get.

        What is stored is a snapshot; later changes of the variable are not seen by anybody.
        Who reads what is replaced keeps the old bytes.
        """
        if args.name is not None and len(args.variables) > 1:
            raise UsageError(f"--name is for one variable, and there are {len(args.variables)}")
        values = {name: self._variable(name, args) for name in args.variables}
        store = self.connect()
        for variable, value in values.items():
            name = variable if args.name is None else args.name
            terms = {"ttl": args.ttl, "lifetime": args.lifetime, "pin": args.pin}
            ref = store.put(value, name, overwrite=not args.no_overwrite, **terms, progress=True)
            line = _summary(store, ref) + _agreed(args)
            if args.rebind:
                self.shell.push({variable: store.get(ref)})
                line += f"; {variable} is now the stored, read-only view"
            print(line)

    def _variable(self, name: str, args: Namespace) -> Any:
        if not is_variable(name):
            if name.endswith(","):
                raise UsageError(f"{name!r} is no variable; names are separated by spaces: %shm_put a b")
            expression = name if is_expression(name) else "expr"
            raise UsageError(f"{name!r} is no variable; for an expression use shm.put({expression}, 'name')")
        known = {**self.shell.user_ns, **args.scope}
        if name not in known:
            hidden = self.shell.user_ns_hidden
            names = [other for other in known if not other.startswith("_") and other not in hidden]
            close = " or ".join(map(repr, difflib.get_close_matches(name, names, n=2)))
            raise UsageError(f"there is no variable {name!r}" + (f"; did you mean {close}?" if close else ""))
        if args.rebind and args.scope is not self.shell.user_ns and name in args.scope:
            raise UsageError(f"--rebind cannot change {name!r}, a local variable; use {name} = shm.get({name!r})")
        return known[name]

    @magic_arguments()
    @argument("names", nargs="+", metavar="name", type=unquoted, help="what to fetch, each into a variable of its name")
    @argument("--as", dest="variable", help="fetch it into this variable instead; for one name")
    @argument(
        "-w", "--writable", action="store_true", help="fetch a private copy-on-write copy; changes stay in this kernel"
    )
    @argument("--copy", action="store_true", help="fetch an ordinary private copy, which is writable too")
    @argument("--timeout", type=seconds, default=UNSET, metavar="seconds", help="wait so long for a missing name")
    @line_magic
    @parsed
    def shm_get(self, args: Namespace) -> Any:
        """Fetch published objects without copying them: read-only views of the shared memory.

        %shm_get a b      binds the variables a and b of the notebook
        x = %shm_get a    gives the object, and binds x only; a list for several names
        """
        variables = _variables(args)
        if args.writable and args.copy:
            raise UsageError("-w and --copy exclude each other: both give a private copy, -w without copying at first")
        fetched = self._fetch(args)
        if args.assigned:
            return fetched if len(fetched) > 1 else fetched[0]
        # Only now: what cannot be had leaves every variable as it was.
        self.shell.push(dict(zip(variables, fetched, strict=True)))
        return None

    def _fetch(self, args: Namespace) -> list[Any]:
        store = self.connect()
        waits = args.timeout is not UNSET
        deadline = time.monotonic() + args.timeout if waits else 0.0
        fetched, notes = [], []
        for name in args.names:
            patience = max(0.0, deadline - time.monotonic()) if waits else UNSET
            if not args.writable:
                fetched.append(store.get(name, copy=args.copy, timeout=patience))
                continue
            obj, kind = _fetch_writable(store, name, patience)
            fetched.append(obj)
            notes.append(f"{args.variable or name} is {kind}; changes to it stay in this kernel")
        print(*notes, sep="\n", end="\n" if notes else "")
        return fetched

    # --- what there is -----------------------------------------------------------------------------------------

    @magic_arguments()
    @argument("pattern", nargs="?", type=unquoted, help="only names that match it, as in a shell: run*")
    @line_magic
    @parsed
    def shm_ls(self, args: Namespace) -> Any:
        """Show what is published, the newest last; `found = %shm_ls` gives the list."""
        found = self.connect().list(args.pattern)
        if args.assigned:
            return found
        if args.pattern is not None and not found:
            print(f"no published name matches {args.pattern!r}")
        else:
            _show(found)
        return None

    @magic_arguments()
    @argument("name", type=unquoted, help="of a published object")
    @line_magic
    @parsed
    def shm_info(self, args: Namespace) -> Any:
        """Show what is known of one object, who holds it, and what a get of it shares."""
        found = self.connect().info(args.name)
        if args.assigned:
            return found
        _show(found)
        return None

    @magic_arguments()
    @argument(
        "names", nargs="*", metavar="name", type=unquoted, help="what to delete, or a pattern as in a shell: tmp*"
    )
    @argument("--all", action="store_true", help="delete every name that there is")
    @line_magic
    @parsed
    def shm_rm(self, args: Namespace) -> None:
        """Delete published objects.  Who reads one keeps its bytes; the last one to let go frees them.

        Of the names that are no patterns, all are deleted, or nothing is.
        """
        if args.all == bool(args.names):
            raise UsageError("say what to delete: names, a pattern such as 'tmp*', or --all alone for every name")
        store = self.connect()
        found = self._found(store, [name for name in args.names if not is_pattern(name)], "nothing was deleted")
        for name, info in found.items():
            store.delete(name)
            print(_farewell(name, info))
        for pattern in ["*"] if args.all else [name for name in args.names if is_pattern(name)]:
            removed = remove_matching(store, pattern)
            nothing = "the store is empty" if args.all else f"no published name matches {pattern!r}"
            print(removal_line(removed) if removed else nothing)

    # --- how long it lives -------------------------------------------------------------------------------------

    @magic_arguments()
    @argument("names", nargs="+", metavar="name", type=unquoted, help="what to pin; all of it, or nothing")
    @line_magic
    @parsed
    def shm_pin(self, args: Namespace) -> None:
        """Keep published objects from expiring and from being spilled to disk.

        They can still be overwritten and deleted; the next version has terms of its own.
        """
        store = self.connect()
        for name in self._found(store, args.names, "nothing was pinned"):
            store.pin(name)
            print(f"pinned {name!r}")

    @magic_arguments()
    @argument("names", nargs="+", metavar="name", type=unquoted, help="what to unpin; all of it, or nothing")
    @line_magic
    @parsed
    def shm_unpin(self, args: Namespace) -> None:
        """Let published objects expire, and be spilled to disk, again.  One whose time is over ends at once."""
        store = self.connect()
        for name, info in self._found(store, args.names, "nothing was unpinned").items():
            store.unpin(name)
            is_over = info.expires is not None and name not in store
            print(f"unpinned {name!r}" + ("; its time was over, and it is gone" if is_over else ""))

    def _found(self, store: Store, names: list[str], otherwise: str) -> dict[str, ObjectInfo]:
        found, missing = {}, []
        for name in names:
            try:
                found[name] = store.info(name)
            except ObjectNotFoundError:
                missing.append(repr(name))
        if missing:
            raise UsageError(f"nothing is published under {', '.join(missing)}; {otherwise}")
        return found


def _summary(store: Store, ref: ObjectRef) -> str:
    try:
        info = store.info(ref)
    except ObjectNotFoundError:
        return f"{ref.name}: published, and replaced or deleted by somebody else since"
    facts = [info.type, *([format_shape(info.shape)] if info.shape is not None else []), format_size(info.nbytes)]
    line = f"{ref.name}: {', '.join(facts)}"
    if ref.replaced_version:
        line += f"; replaced {_whose(ref)}, whose readers keep the old bytes"
    return line


def _agreed(args: Namespace) -> str:
    said = [f"ends in {format_duration(parse_duration(args.ttl))}"] if args.ttl is not None else []
    said += ["ends with this kernel"] if args.lifetime == KERNEL else []
    said += ["pinned"] if args.pin else []
    return "".join(f"; {one}" for one in said)


def _whose(ref: ObjectRef) -> str:
    # Where no notebook's path is known, the owner is the id of a kernel, another one in each run.
    kernel = kernel_id()
    is_ours = kernel and ref.replaced_owner == label(kernel)
    version = f"version {ref.replaced_version}"
    return f"your own {version}" if is_ours else f"{version} of {ref.replaced_owner}"


def _farewell(name: str, info: ObjectInfo) -> str:
    count = len(info.holders)
    readers = {0: "", 1: "; 1 reader keeps its bytes"}.get(count, f"; {count} readers keep its bytes")
    return f"deleted {name!r}{readers}"


def _fetch_writable(store: Store, name: str, timeout: Any) -> tuple[Any, str]:
    try:
        return store.get(name, mode="c", timeout=timeout), "a private copy-on-write copy"
    except InvalidModeError:
        obj = store.get(name, copy=True, timeout=timeout)
        return obj, f"a private copy (a {type(obj).__name__} cannot be copied on write)"


def _variables(args: Namespace) -> list[str]:
    """The variables that a ``%shm_get`` binds."""
    if args.variable is not None and len(args.names) > 1:
        raise UsageError(f"--as is for one name, and there are {len(args.names)}")
    if args.variable is not None and args.assigned:
        raise UsageError("--as names a variable, and so does the assignment; leave one of them out")
    variables = args.names if args.variable is None else [args.variable]
    for variable in variables:
        if not args.assigned and not is_variable(variable):
            cure = "use a name that can" if args.variable is not None else "add --as and the name of one"
            raise UsageError(f"{variable!r} cannot be the name of a variable; {cure}")
    return list(variables)


def _show(table: Any) -> None:
    """Show a table where the user looks; ``Out`` does not get it."""
    if sys.stdout.isatty():
        import rich

        rich.print(table)
    else:
        display(table)
