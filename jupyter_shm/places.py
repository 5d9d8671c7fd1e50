"""Where an IPython keeps what its user made: variables, outputs, the last error.  Knows of no store.

IPython keeps a result at up to five places under three names; to clear a place means all that belongs to it.
"""

from __future__ import annotations

import gc
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from .reach import globals_of_modules

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

UNDERSCORES = ("_", "__", "___")

LAST_ERROR = "the last error"

_OF_ERRORS = (BaseException, TracebackType, FrameType)

_LAST = ("last_type", "last_value", "last_traceback", "last_exc")


class Place(NamedTuple):
    """Where something is kept, under one name.

    Attributes:
        name: As people call it: ``"variable x"``, ``"Out[3]"``, ``"_"``, ``"the last error"``.
        kept: What is kept there.
        clear: Let go of it.
    """

    name: str
    kept: list[Any]
    clear: Callable[[], None]


def places(shell: InteractiveShell) -> list[Place]:
    """All places of an IPython, in the order in which people look for them."""
    return [*_variables(shell), *_outputs(shell), *_underscores(shell), *_errors(shell)]


def places_of_modules(own: dict[str, Any]) -> list[Place]:
    """The variables of all modules; not to be cleared by us.

    Args:
        own: The namespace of the notebook, which is left out.
    """
    return [
        Place(f"{name} of module {module}", [value], _leave)
        for module, namespace in globals_of_modules().items()
        if namespace is not own and module != "sys"  # there is the last error, which has a place of its own
        for name, value in list(namespace.items())
    ]


def own_objects(shell: InteractiveShell) -> list[object]:
    """What leads from IPython's own objects to everything that its user has."""
    return [shell, shell.displayhook, shell.history_manager, shell.user_ns, vars(shell.user_module), _out(shell)]


def _variables(shell: InteractiveShell) -> Iterator[Place]:
    hidden = shell.user_ns_hidden
    for name, value in list(shell.user_ns.items()):
        # What IPython has put there itself is hidden, until the user gives the name to something else.
        if name not in UNDERSCORES and not (name in hidden and hidden[name] is value):
            yield Place(f"variable {name}", [value], partial(shell.del_var, name, by_name=True))


def _outputs(shell: InteractiveShell) -> Iterator[Place]:
    out, known = _out(shell), shell.user_ns
    numbers = {int(name[1:]) for name in known if re.fullmatch(r"_\d+", name) and name in shell.user_ns_hidden}
    for number in sorted(numbers | {number for number in out if isinstance(number, int)}):
        kept = [space[key] for space, key in ((out, number), (known, f"_{number}")) if key in space]
        yield Place(f"Out[{number}]", kept, partial(_clear_output, shell, number))


def _underscores(shell: InteractiveShell) -> Iterator[Place]:
    for name in UNDERSCORES:
        kept = [getattr(shell.displayhook, name, None), shell.user_ns.get(name)]
        if name == "_":
            kept.append(getattr(shell.last_execution_result, "result", None))
        yield Place(name, kept, partial(_clear_underscore, shell, name))


def _errors(shell: InteractiveShell) -> Iterator[Place]:
    errors = _last_errors(shell)
    if errors:
        yield Place(LAST_ERROR, [*errors, *_tracebacks(shell)], partial(_clear_error, shell))


def _clear_output(shell: InteractiveShell, number: int) -> None:
    _out(shell).pop(number, None)
    for space in (shell.user_ns, shell.user_ns_hidden):
        space.pop(f"_{number}", None)


def _clear_underscore(shell: InteractiveShell, name: str) -> None:
    # As displayhook.flush() does: IPython goes on setting them only while both agree.
    setattr(shell.displayhook, name, "")
    shell.push({name: ""}, interactive=False)
    shell.last_execution_result = None


def _clear_error(shell: InteractiveShell) -> None:
    for error in _chain(_last_errors(shell)):
        traceback.clear_frames(error.__traceback__)
    for tb in _tracebacks(shell):
        traceback.clear_frames(tb)
    for name in _LAST:
        vars(sys).pop(name, None)
    shell.InteractiveTB.tb = None
    shell.last_execution_result = None


def _last_errors(shell: InteractiveShell) -> list[BaseException]:
    done = shell.last_execution_result
    found = [getattr(sys, "last_exc", None), getattr(sys, "last_value", None)]
    found += [getattr(done, name, None) for name in ("error_before_exec", "error_in_exec")]
    return [error for error in found if isinstance(error, BaseException)]


def _tracebacks(shell: InteractiveShell) -> list[Any]:
    found = [getattr(sys, "last_traceback", None), getattr(shell.InteractiveTB, "tb", None)]
    return [tb for tb in found if tb is not None]


def _chain(errors: list[BaseException]) -> list[BaseException]:
    """They, and those that they were raised from, while handling, or as a group of."""
    found: list[BaseException] = []
    todo: list[Any] = list(errors)
    while todo:
        error = todo.pop()
        if isinstance(error, BaseException) and error not in found:
            found.append(error)
            todo += [error.__cause__, error.__context__, *getattr(error, "exceptions", ())]
    return found


def functions_in(place: Place, is_meant: Callable[[object], bool]) -> list[str]:
    """Names of the functions in whose frames of the last error something is kept.

    Args:
        place: Of the last error.
        is_meant: Is it that, or does it lead there?
    """
    names: list[str] = []
    for error in _chain([kept for kept in place.kept if isinstance(kept, BaseException)]):
        for frame, _ in traceback.walk_tb(error.__traceback__):
            # Nearly every frame leads to the error itself, and by that to all the others.
            variables = (one for one in gc.get_referents(frame) if not isinstance(one, _OF_ERRORS))
            if _is_users(frame) and any(map(is_meant, variables)):
                names.append(frame.f_code.co_name)
    return list(dict.fromkeys(names))


def _is_users(frame: FrameType) -> bool:
    """Is it neither IPython's, nor a cell, whose variables are those of the notebook?"""
    of_ipython = str(frame.f_globals.get("__name__")).startswith("IPython.")
    return not of_ipython and frame.f_code.co_name != "<module>"


def _out(shell: InteractiveShell) -> dict[Any, Any]:
    found: dict[Any, Any] = shell.user_ns.get("_oh", {})
    return found


def _leave() -> None:
    """It is another's."""
