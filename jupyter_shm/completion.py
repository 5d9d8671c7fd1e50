"""What Tab offers behind our magics: names in the store, variables, options.

Completing never starts a store, never fails, and never keeps anybody waiting for a store that does not answer.
"""

from __future__ import annotations

import contextlib
import math
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from IPython.core.completer import CompletionContext, SimpleCompletion, context_matcher
from IPython.core.magic_arguments import argument

from .client.hold import held_names
from .client.store import Store
from .errors import SettingError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

PATIENCE = 0.5
"""Seconds that a store has to tell its names; more, and the one who pressed Tab believes that the kernel hangs."""

_CALL = re.compile(r"(?:.*[\s=;(]%|%%?|\s*)(?P<magic>\w+)(?P<line>\s.*)$")
"""A magic in the line until the cursor: after %, wherever that stands, or first in the line without one."""

_LAST_WORD = re.compile(r"""(?:"[^"]*|'[^']*|[^\s"']*)$""")


class Completions:
    """The matcher for a set of magics.

    Args:
        shell: Whose variables are offered.
        magics: By name; their options are read from them.
        store: Tells the name of the store that they use; ``""`` for the default one.
    """

    def __init__(self, shell: InteractiveShell, magics: Mapping[str, Any], store: Callable[[], str]) -> None:
        self._shell = shell
        self._magics = magics
        self._store = store

    @context_matcher()
    def match(self, context: CompletionContext) -> dict[str, Any]:
        """Complete the last word until the cursor.

        Returns:
            A ``SimpleMatcherResult`` of IPython; empty where that word is not an argument of one of our magics.
        """
        call = _CALL.match(context.text_until_cursor)
        magic = self._magics.get(call["magic"]) if call else None
        if call is None or magic is None:
            return {"completions": [], "suppress": False}
        last = _LAST_WORD.search(call["line"])
        typed = last[0] if last else ""
        before = call["line"][: len(call["line"]) - len(typed)].split()
        offered = [text for text in self._offers(magic, before, typed) if text.startswith(typed)]
        return {
            "completions": [SimpleCompletion(text=text, type="variable") for text in offered],
            "matched_fragment": typed,
            "ordered": True,
            # Or IPython would offer files and Python's own words as well.
            "suppress": True,
        }

    def _offers(self, magic: Any, before: list[str], typed: str) -> Iterable[str]:
        takes = {name: _takes(option) for option in _options(magic) for name in option.args}
        option = next((word for place, word in enumerate(reversed(before)) if place < takes.get(word, 0)), None)
        if typed.startswith("-") and takes.get(option or "", math.inf) == math.inf:
            return sorted(name for name in takes if name not in before)
        if option in {"--as", "--put", "--get"} or (option is None and magic.__name__ == "shm_put"):
            return self._variables(hidden=typed.startswith("_"))
        if option not in {None, "--name"}:
            return next((found.kwds.get("choices", ()) for found in _options(magic) if option in found.args), ())
        if magic.__name__ == "shm_run":
            return ()
        names = names_in(self._store() or None)
        if magic.__name__ in {"shm_who", "shm_release"}:
            with contextlib.suppress(SettingError):  # the magic itself will say it
                names = sorted({*names, *held_names(self._store() or None)})
        return (_quoted(name, typed[:1]) for name in names if name not in before)

    def _variables(self, hidden: bool) -> list[str]:
        """Variables of the notebook; arrays and tables first, for those are what is shared."""
        known = {
            name: value
            for name, value in dict(self._shell.user_ns).items()
            if name not in self._shell.user_ns_hidden and not isinstance(value, ModuleType)
            if hidden or not name.startswith("_")
        }
        return sorted(known, key=lambda name: (not hasattr(type(known[name]), "shape"), name))


def names_in(store: str | None) -> list[str]:
    """The names that a running store holds.

    Args:
        store: Its name; ``None`` for the default store.

    Returns:
        The names, sorted; none when it does not run, or does not answer within ``PATIENCE``.
    """
    names: list[str] = []

    def ask() -> None:
        try:
            with Store(store, start=False) as running:
                names.extend(running.keys())
        except Exception:
            return  # whatever it is, a magic that uses the store will say it

    # In a thread, for what a store that hangs keeps waiting is a system call.
    thread = threading.Thread(target=ask, name="jupyter_shm completion", daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return list(names)


def _options(magic: Any) -> list[Any]:
    found = [decorator for decorator in magic.decorators if isinstance(decorator, argument)]
    return [decorator for decorator in found if decorator.args[0].startswith("-")]


def _takes(option: Any) -> float:
    """How many of the words behind an option are its values."""
    if option.kwds.get("action") == "store_true":
        return 0
    return math.inf if option.kwds.get("nargs") == "+" else 1


def _quoted(name: str, quote: str) -> str:
    """The name as it must be typed; with the quote that was opened, if one was."""
    if quote not in {"'", '"'}:
        quote = '"' if re.search(r"\s", name) else ""
    return f"{quote}{name}{quote}"
