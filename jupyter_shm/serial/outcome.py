"""What becomes of a promise other than a value: an exception, or "see that other object".  No I/O here."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import RemoteTraceback, TaskError, UnpicklableError
from .meta import FAILURE, FORWARD, Meta
from .pack import Packed, pack, type_name
from .unpack import Forwarded, Part

if TYPE_CHECKING:
    from .pickler import Reducers


def pack_forward(id: int) -> Packed:
    """An object that stands for another one, which it is to contain.

    Args:
        id: Of that one.
    """
    word = memoryview(id.to_bytes(8, "little"))
    return Packed(FORWARD, "jupyter_shm.ObjectRef", None, None, None, "", False, [word])


def outcome(meta: Meta, parts: Sequence[Part]) -> Exception:
    """What is to be raised for an object that is no value.

    Args:
        meta: Of kind ``FORWARD`` or ``FAILURE``.
        parts: One for each entry of ``meta.parts``, at least one.
    """
    return Forwarded(int.from_bytes(bytes(parts[0]), "little")) if meta.kind == FORWARD else unpack_failure(parts)


def pack_failure(error: BaseException, own: Reducers | None = None) -> Packed:
    """An exception, to be raised by whoever reads it.

    Args:
        error: Its traceback travels as text.  Where it cannot be pickled, the text is all that there is.
        own: As for ``pack``.
    """
    text = memoryview("".join(traceback.format_exception(error)).encode(errors="replace"))
    try:
        packed = pack(error, own)
    except UnpicklableError:
        return Packed(FAILURE, type_name(type(error)), None, None, None, "", False, [text])
    facts = (None, None, None, packed.cloudpickle, packed.by_value)
    return Packed(FAILURE, packed.type, *facts, [text, *packed.buffers])


def unpack_failure(parts: Sequence[Part]) -> Exception:
    """Build what is to be raised.

    Args:
        parts: One for each buffer of what ``pack_failure`` gave.

    Returns:
        The exception; ``TaskError`` with its text where it cannot be rebuilt here, or is none that may be raised
        anywhere, as ``SystemExit`` is.
    """
    text = bytes(parts[0]).decode(errors="replace")
    stream: Any = parts[1] if len(parts) > 1 else None
    try:
        error = None if stream is None else pickle.loads(stream, buffers=parts[2:])
        if isinstance(error, Exception):
            error.__cause__ = RemoteTraceback(text)
            return error
        why = "" if error is None else "; that is raised nowhere else"
    except MemoryError:
        raise
    except Exception as fault:
        why = f"; it cannot be rebuilt here ({type(fault).__name__}: {fault})"
    return TaskError(f"what was to make this object has failed{why}:\n\n{text}")
