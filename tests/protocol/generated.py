"""Messages of every kind, made up by Hypothesis from the annotations that the decoder itself checks."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
from hypothesis import strategies as st

from jupyter_shm.protocol import messages as m

REQUESTS: tuple[type, ...] = get_args(m.Request)
ANSWERS: tuple[type, ...] = get_args(m.Answer)

BIGGEST = (1 << 63) - 1


def values(kind: msgspec.inspect.Type) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - one for each type
    """Values that a field of this type may have."""
    match kind:
        case msgspec.inspect.IntType(ge=least, le=most):
            return st.integers(least if least is not None else 0, most if most is not None else BIGGEST)
        case msgspec.inspect.StrType(max_length=longest):
            return st.text(max_size=min(longest or 40, 40))
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.FloatType():
            return st.floats(allow_nan=False)
        case msgspec.inspect.VarTupleType(item_type=item):
            return st.lists(values(item), max_size=4).map(tuple)
        case msgspec.inspect.StructType(cls=struct):
            return messages_of(struct)
        case msgspec.inspect.NoneType():
            return st.none()
        case msgspec.inspect.UnionType(types=types):
            return st.one_of([values(one) for one in types])
    raise AssertionError(f"a message has a field of a type that no test makes up: {kind}")


def messages_of(kind: type) -> st.SearchStrategy[Any]:
    """Any message of one kind."""
    fields = msgspec.inspect.type_info(kind).fields
    return st.builds(kind, **{field.name: values(field.type) for field in fields})


def biggest(kind: type, **facts: object) -> Any:
    """A message of this kind whose numbers are the largest, and whose texts are empty unless told otherwise."""
    empty = {
        msgspec.inspect.IntType: BIGGEST,
        msgspec.inspect.StrType: "",
        msgspec.inspect.BoolType: True,
        msgspec.inspect.FloatType: 1e300,
        msgspec.inspect.VarTupleType: (),
    }
    known = {
        field.name: empty[type(field.type)]
        for field in msgspec.inspect.type_info(kind).fields
        if type(field.type) in empty
    }
    return kind(**{**known, **facts})
