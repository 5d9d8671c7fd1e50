"""What JupyterLab's sidebar asks a kernel: one expression, evaluated unseen, whose value shows itself as JSON.

The server reads no object, because it must not unpickle; a kernel of the user's does what the panel's kernel does.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..errors import InvalidArgumentError
from .deeds import Deeds


class Wish(msgspec.Struct, frozen=True):
    """What is asked.

    Attributes:
        store: Name of the store.
        verb: As for ``Deeds.do``.
        target: The same.
    """

    store: str
    verb: str
    target: dict[str, Any]


class Answer:
    """What is told: ``fault`` says why it could not be done, and is empty if it was.

    Args:
        facts: The rest, as ``Deeds.do`` gives it.
    """

    def __init__(self, facts: dict[str, Any]) -> None:
        self.facts = facts

    def _repr_json_(self) -> dict[str, Any]:
        return self.facts

    def __repr__(self) -> str:
        return f"Answer({', '.join(self.facts)})"


def answer(text: str) -> Answer:
    """Do what a page asks for.

    Args:
        text: JSON of a ``Wish``.
    """
    deeds = None
    try:
        wish = msgspec.json.decode(text, type=Wish)
        deeds = Deeds(wish.store, _release)
        return Answer({"fault": "", **deeds.do(wish.verb, wish.target)})
    except FileNotFoundError as error:
        return Answer({"fault": str(error)})
    except Exception as error:  # also of a type's own unpickling
        known = type(error).__module__.startswith("jupyter_shm.")
        return Answer({"fault": str(error) if known else f"{type(error).__name__}: {error}"})
    finally:
        if deeds is not None:
            deeds.close()


def _release(store: str, name: str) -> list[str]:
    from IPython.core.getipython import get_ipython

    from ..grip import release

    shell = get_ipython()
    if shell is None:
        raise InvalidArgumentError("there is nothing that could be released: this process is no notebook's")
    return release(shell, store, name)
