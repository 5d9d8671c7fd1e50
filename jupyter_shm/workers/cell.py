"""A cell of a notebook as a task: what it is given are its arguments, and what it leaves behind is its result.

It runs as the body of a function, not as a module.  So nothing of it outlives it in the worker, not even what its own
functions refer to; and so ``from x import *`` cannot stand in it.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import gc
import inspect
import linecache
import symtable
from collections.abc import Collection, Iterable
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from .actors import RemoteClass
from .remote import RemoteFunction

FILE = "<cell>"
"""What tracebacks call it."""

OWN = ("worker", "workers")
"""What every cell is given: the number of the worker that runs it, from 0, and how many of them do."""

_SHOWN, _LOCALS = "__jupyter_shm_shown__", "__jupyter_shm_locals__"

_AWAITS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

_CODE = (
    *(ModuleType, type, FunctionType, BuiltinFunctionType, MethodType, partial, np.ufunc),
    *(RemoteFunction, RemoteClass),
)
"""What goes along with a cell that uses it, as with a remote function; all else is data, which is put."""


class Cell(NamedTuple):
    """A cell on its way to workers.

    Attributes:
        source: Its text, from the line of the magic on.
        code: The modules, functions and classes of the notebook that it uses.
    """

    source: str
    code: dict[str, Any]


def cell_of(source: str, notebook: dict[str, Any], inputs: Collection[str]) -> tuple[Cell, list[str]]:
    """Find out what a cell needs.

    Args:
        source: Its text, from the line of the magic on; that line is empty.
        notebook: The variables of the notebook.
        inputs: Which of them it is given.

    Returns:
        The cell; and the names of the data of the notebook that it uses and is not given.

    Raises:
        SyntaxError: It is no Python.
    """
    _function_of(source, [*inputs, *OWN])
    needed = {name: notebook[name] for name in _free_names(source) - {*inputs, *OWN} if name in notebook}
    code = {name: value for name, value in needed.items() if isinstance(value, _CODE)}
    return Cell(source, code), sorted(name for name in needed.keys() - code.keys() if not hasattr(builtins, name))


class Outcome(NamedTuple):
    """How a run of a cell ended.

    Attributes:
        shown: Its last line if that is an expression, as text; ``""``: there is nothing to show.
        missing: What was wanted of it, and which it has not set.
    """

    shown: str
    missing: list[str]


def run_cell(cell: Cell, wanted: list[str], worker: int, workers: int, /, **inputs: Any) -> Any:
    """Run a cell; this is the task.

    Args:
        cell: The cell.
        wanted: Names of the variables that are its results.
        worker: Its own number.
        workers: How many run it.
        **inputs: Variables that it finds.

    Returns:
        The ``Outcome`` and, if anything is wanted, the values: as many as there are names, ``None`` for the missing.
    """
    # Tracebacks show its lines; those of the cell that ran here before are forgotten.
    linecache.cache[FILE] = (len(cell.source), None, cell.source.splitlines(keepends=True), FILE)
    given = {**cell.code, **inputs, "worker": worker, "workers": workers}
    left = _function_of(cell.source, given)(**given)
    left = asyncio.run(left) if inspect.iscoroutine(left) else left
    value = left.get(_SHOWN)
    outcome = Outcome("" if value is None else repr(value), [name for name in wanted if name not in left])
    values = [left.get(name) for name in wanted]
    del left, value
    gc.collect()  # a function of the cell that calls itself would keep what it uses, for a worker that is idle collects nothing
    return [outcome, *values] if wanted else outcome


def _function_of(source: str, given: Iterable[str]) -> Any:
    """The function whose body a cell is.

    Args:
        source: The cell.
        given: Names of its parameters.
    """
    # First as what it is for its author: so a `return` in it is an error, and an `await` is none.
    is_async = compile(source, FILE, "exec", _AWAITS, dont_inherit=True).co_flags & inspect.CO_COROUTINE
    tree = ast.parse(f"{'async ' * bool(is_async)}def cell({', '.join(given)}): return {_LOCALS}()")
    body = tree.body[0].body  # type: ignore[attr-defined]
    body[:0] = _with_last_kept(ast.parse(source, FILE).body, source)
    made: dict[str, Any] = {}
    names = {"__name__": "__main__", "__builtins__": builtins, _LOCALS: locals}
    exec(compile(ast.fix_missing_locations(tree), FILE, "exec", dont_inherit=True), names, made)  # noqa: S102 - a cell is code
    return made["cell"]


def _with_last_kept(body: list[ast.stmt], source: str) -> list[ast.stmt]:
    """The statements of a cell; if the last one is an expression, its value is kept, unless a semicolon follows."""
    if not body or not isinstance(body[-1], ast.Expr) or _ends_with_semicolon(body[-1], source):
        return body
    last = body[-1]
    return [*body[:-1], ast.copy_location(ast.Assign([ast.Name(_SHOWN, ast.Store())], last.value), last)]


def _ends_with_semicolon(last: ast.Expr, source: str) -> bool:
    rest = source.encode().splitlines()[last.end_lineno - 1 :]  # type: ignore[operator]
    return rest[0][last.end_col_offset :].lstrip().startswith(b";")


def _free_names(source: str) -> set[str]:
    """The names that a cell uses and does not make itself."""
    top = symtable.symtable(source, FILE, "exec")
    made = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    used: set[str] = set()
    todo = [top]
    while todo:
        table = todo.pop()
        todo += table.get_children()
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (symbol.is_global() or table is top):
                used.add(symbol.get_name())
    return used - made
