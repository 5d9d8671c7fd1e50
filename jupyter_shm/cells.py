"""The cell magic: a cell that runs on workers, with its inputs and outputs by name.

As with the line magics, a mistake of the user is one line; what the cell itself raises is shown as the worker saw it.
"""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from typing import TYPE_CHECKING

from IPython.core.error import UsageError
from IPython.core.magic import cell_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments

from .client.default import get
from .client.refs import ObjectRef
from .errors import RemoteTraceback
from .family import Family
from .invocation import is_variable, parsed
from .workers import engines
from .workers.cell import OWN, Cell, Outcome, cell_of, run_cell
from .workers.remote import RemoteFunction, as_completed, cancel

if TYPE_CHECKING:
    pass


def number_of_workers(text: str) -> int:
    """An argument that says how many workers.

    Raises:
        ArgumentTypeError: It is no whole number from 1.
    """
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no number of workers, from 1")
    return int(text)


@magics_class
class Cells(Family):
    """Run cells on workers."""

    @magic_arguments()
    @argument(
        "--workers",
        type=number_of_workers,
        metavar="N",
        help="run it N times, each on a worker; every output is then a list of N values",
    )
    @argument(
        "--put",
        nargs="+",
        action="extend",
        default=[],
        metavar="variable",
        help="what the cell is given, read-only and without a copy for each worker",
    )
    @argument(
        "--get",
        nargs="+",
        action="extend",
        default=[],
        metavar="variable",
        help="what the cell sets, and this notebook gets",
    )
    @cell_magic
    @parsed
    def shm_run(self, args: Namespace) -> None:
        """Run the cell on a worker, or on several at once.

        %%shm_run --workers 4 --put a --get b
        b = a[worker::workers].sum()

        Each run starts with nothing but what is put, `worker` (its number, from 0) and `workers` (how many there are);
        modules, functions and classes of the notebook that it uses go along.  Its last line is shown.
        """
        cell = self._cell(args)
        count = args.workers or 1
        engines.widen(count)
        store = self._connect()
        inputs = {name: store.put(self.shell.user_ns[name]) for name in args.put}
        task = RemoteFunction(run_cell, num_returns=1 + len(args.get)).remote
        runs = [task(cell, args.get, worker, count, **inputs) for worker in range(count)]
        runs = runs if args.get else [[run] for run in runs]
        outcomes = _outcomes([run[0] for run in runs])
        _show(outcomes, is_one=args.workers is None)
        _check(outcomes)
        values = [store.get(run[1:]) for run in runs]
        # Only now: what fails leaves every variable as it was.
        self.shell.push(
            {
                name: found[0] if args.workers is None else list(found)
                for name, *found in zip(args.get, *values, strict=True)
            }
        )

    def _cell(self, args: Namespace) -> Cell:
        self._check_names(args)
        try:
            # The line of the magic is the first one of the cell for whoever counts lines.
            cell, data = cell_of(f"\n{args.cell}", self.shell.user_ns, args.put)
        except SyntaxError as error:
            raise self._explained(args.cell, error) from None
        if data:
            raise UsageError(
                f"the cell uses {', '.join(data)} of this notebook; --put {' '.join(data)} gives it to the cell"
            )
        return cell

    def _check_names(self, args: Namespace) -> None:
        for name in [*args.put, *args.get]:
            if not is_variable(name):
                cure = "; names are separated by spaces: --put a b" if "," in name else ""
                raise UsageError(f"{name!r} is no variable{cure}")
        for name in args.put:
            if name in OWN:
                raise UsageError(f"{name!r} is what a cell on workers calls its own; give it another name")
            if name not in self.shell.user_ns:
                raise UsageError(f"there is no variable {name!r}; what was published is had by shm.get in the cell")

    def _explained(self, cell: str, error: SyntaxError) -> UsageError:
        if "get_ipython()" in self.shell.transform_cell(cell):
            return UsageError("magics and shell commands do not run on workers")
        # IPython would show a SyntaxError with all the calls that led here.
        return UsageError(f"{error.msg} in line {error.lineno} of the cell: {(error.text or '').strip()}")


def _outcomes(runs: list[ObjectRef]) -> list[Outcome]:
    """Wait for all runs; if one fails, the others are given up."""
    try:
        for run in as_completed(runs):
            try:
                get(run)
            except Exception as error:
                raise _told(error, runs.index(run), len(runs)) from error.__cause__
        return [get(run) for run in runs]
    except BaseException:
        for run in runs:
            cancel(run)
        raise


def _told(error: Exception, worker: int, workers: int) -> Exception:
    """An exception of the cell shows the worker's traceback, and none of ours."""
    trace = error.__cause__
    if isinstance(trace, RemoteTraceback):
        where = f"(in worker {worker} of {workers})" if workers > 1 else "(in a worker)"
        # IPython asks for this instead of showing the stack.
        error._render_traceback_ = lambda: [*trace.text.rstrip().splitlines(), where]  # type: ignore[attr-defined]
    return error


def _show(outcomes: list[Outcome], *, is_one: bool) -> None:
    for worker, outcome in enumerate(outcomes):
        if outcome.shown:
            print(outcome.shown if is_one else f"[{worker}] {outcome.shown}")


def _check(outcomes: list[Outcome]) -> None:
    for worker, outcome in enumerate(outcomes):
        if outcome.missing:
            where = f" (in worker {worker} of {len(outcomes)})" if len(outcomes) > 1 else ""
            raise UsageError(f"the cell has not set {', '.join(outcome.missing)}{where}, which --get asks for")
