"""Raise KeyboardInterrupt at the n-th point at which the interpreter could do so, for every n: no luck needed.

CPython looks for signals at the end of a call, at the start of a function and when it jumps back, and nowhere else
(from 3.11 on).  A trace function counts these points inside the package and raises at the chosen one.  It can only
raise one instruction later; where that is covered by another handler, the point is left out.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any

import jupyter_shm

PACKAGE = jupyter_shm.__path__[0]
LOOKS = ("CALL", "RESUME", "JUMP_BACKWARD")


@functools.cache
def _is_point(code: CodeType, last: int | None, now: int) -> bool:
    if last is None:
        return True
    return dis.opname[code.co_code[last]].startswith(LOOKS) and _handler(code, last) == _handler(code, now)


def _handler(code: CodeType, at: int) -> int | None:
    found = None
    for entry in dis._parse_exception_table(code):
        if entry.start <= at <= entry.end:
            found = entry.target
    return found


class Interrupter:
    """Interrupts whatever runs inside of its ``with`` block.

    Args:
        point: Which point, from 1; the block runs to its end if it has fewer.

    Attributes:
        where: File, line and function of the interrupt; ``None`` as long as there was none.
    """

    def __init__(self, point: int) -> None:
        self.point = point
        self.where: str | None = None
        self._last: dict[FrameType, int] = {}

    def __enter__(self) -> Interrupter:  # noqa: PYI034 - Self is not in Python 3.10
        sys.settrace(self._enter_frame)
        return self

    def __exit__(self, *reason: object) -> None:
        sys.settrace(None)
        self._last.clear()

    def _enter_frame(self, frame: FrameType, _event: str, _argument: Any) -> Callable[..., Any] | None:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._step

    def _step(self, frame: FrameType, event: str, _argument: Any) -> Callable[..., Any]:
        if event == "opcode" and self.where is None:
            last = self._last.get(frame)
            self._last[frame] = frame.f_lasti
            if _is_point(frame.f_code, last, frame.f_lasti):
                self.point -= 1
                if not self.point:
                    path = frame.f_code.co_filename.removeprefix(PACKAGE)
                    self.where = f"{path[1:]}:{frame.f_lineno} in {frame.f_code.co_name}"
                    self._last.clear()
                    raise KeyboardInterrupt
        elif event == "return":
            self._last.pop(frame, None)
        return self._step


def every_interrupt(body: Callable[[], object]) -> Iterator[str]:
    """Run ``body`` again and again, interrupted one point later each time, until it runs to its end.

    Yields:
        Where it was interrupted, after each run.
    """
    point = 1
    while True:
        with Interrupter(point) as interrupter, contextlib.suppress(KeyboardInterrupt):
            body()
        if interrupter.where is None:
            return
        yield interrupter.where
        point += 1
