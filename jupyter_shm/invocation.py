"""How a magic is called: its line as arguments, a mistake in it as one line, and whether its result is wanted.

Knows of no store, and of no magic in particular.
"""

from __future__ import annotations

import ast
import dis
import functools
import inspect
import keyword
import math
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable
from types import FrameType
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics
from IPython.utils.process import arg_split  # type: ignore[attr-defined]  # as IPython itself imports it

from .errors import ShmError

_OPTION_OF = {"timeout=": "--timeout", "copy=True": "--copy"}
"""What the errors of the API advise, and what it is called in a magic."""


def parsed(body: Callable[[Any, Namespace], Any]) -> Callable[..., Any]:
    """Make a magic of a method that takes parsed arguments, and show its errors in one line without a traceback.

    Args:
        body: Its arguments come with two more: ``scope``, the local variables of the calling code if the magic asks
            for them, and ``assigned``, whether that code does anything with what the magic returns; and, of a cell
            magic, ``cell``, the text below its line.
    """

    @functools.wraps(body)
    def magic(self: Magics, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None) -> Any:
        name = f"{'%' if cell is None else '%%'}{body.__name__}"
        magic.parser.allow_abbrev = False  # type: ignore[attr-defined]  # --na today would be refused when --nap comes
        try:
            # Intermixed: options may stand between the names.
            args = magic.parser.parse_intermixed_args(arg_split(line))  # type: ignore[attr-defined]
        except (UsageError, ValueError) as error:
            raise UsageError(f"{name}: {str(error).rstrip('.')}. {name}? shows the usage.") from None
        args.scope = {} if local_ns is None else local_ns
        args.cell = cell
        args.assigned = is_result_used(inspect.currentframe())
        try:
            return body(self, args)
        except (UsageError, ShmError) as error:
            if hasattr(error, "_render_traceback_"):
                raise  # it is shown as it asks for
            raise UsageError(f"{name}: {_one_line(str(error))}") from None
        except KeyboardInterrupt as error:
            # IPython asks for this instead of showing the stack down to the socket.
            error._render_traceback_ = lambda: [f"KeyboardInterrupt: {name} was interrupted"]  # type: ignore[attr-defined]
            raise

    return magic


def _one_line(text: str) -> str:
    for said, option in _OPTION_OF.items():
        text = text.replace(said, option)
    return " ".join(line.strip() for line in text.splitlines())


def is_result_used(frame: FrameType | None) -> bool:
    """Whether the code that called a magic does anything with the result: ``x = %shm_get a``, not ``%shm_get a``.

    Told from the instruction that follows the call: the source text would not do, for a call may stand anywhere in a
    cell.  The result is not used where it is dropped, where it is shown as the last line of a cell, and where the call
    is all of a text that is evaluated, as in ``%time %shm_get a``.

    Args:
        frame: Of the magic.
    """
    frame = frame.f_back if frame else None
    while frame is not None and frame.f_globals.get("__name__") == "IPython.core.interactiveshell":
        frame = frame.f_back
    if frame is None:
        return True
    code, called = frame.f_code, frame.f_lasti
    for step in dis.get_instructions(code):
        if step.offset <= called or step.opname in {"CACHE", "NOP", "EXTENDED_ARG"}:
            continue
        is_shown = step.opname == "PRINT_EXPR" or (step.opname, step.arg) == ("CALL_INTRINSIC_1", 1)
        is_evaluated = step.opname == "RETURN_VALUE" and not code.co_flags & inspect.CO_NEWLOCALS
        return not (step.opname == "POP_TOP" or is_shown or is_evaluated)
    return True


def unquoted(text: str) -> str:
    """An argument without the quotes that held it together; IPython leaves them on."""
    return text[1:-1] if len(text) > 1 and text[0] in "'\"" and text[-1] == text[0] else text


def seconds(text: str) -> float:
    """An argument that is a time.

    Raises:
        ArgumentTypeError: It is negative, endless, or no number.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ArgumentTypeError(f"{text!r} is no number of seconds")
    return value


def is_variable(text: str) -> bool:
    """Whether a variable can have this name."""
    return text.isidentifier() and not keyword.iskeyword(text)


def is_expression(text: str) -> bool:
    """Whether it is a Python expression, whatever it means."""
    try:
        ast.parse(text, mode="eval")
    except (SyntaxError, ValueError):
        return False
    return True
