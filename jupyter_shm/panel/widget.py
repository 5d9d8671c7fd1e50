"""``Panel``: the store in a notebook's output, pushed to the page from a thread while the kernel computes.

The page gets one whole state and, after that, what differs from it; both are traits, so a page that comes later, or comes
back, has them too.  Whatever the page asks for comes as a message, and waits while a cell runs.
"""

from __future__ import annotations

import time
from importlib.resources import files
from typing import Any

import anywidget
import traitlets

from ..client.refs import ObjectRef
from ..client.store import Store
from ..errors import InvalidArgumentError, ShmError
from .audience import Audience
from .deeds import Deeds, Target, ref_of
from .feed import Diff, State, change, encode
from .follower import Follower

HEIGHT = "26em"

NOT_BUILT = """
export default { render({ el }) {
  el.textContent = "The page of this panel was not built: run `jlpm install && jlpm build:widget` in labextension/.";
} };
"""

_LONG = 4
"""A diff is this many times shorter than the state that it is about, or the state is told anew."""


def _built(name: str) -> str:
    built = files(__package__) / "static" / name
    return built.read_text(encoding="utf-8") if built.is_file() else ""


class Panel(anywidget.AnyWidget):
    """What a store holds, live: usage, objects, who holds them, and what became of them in the last minutes.

    It follows the store while somebody looks, and never starts one.

    Args:
        store: A store or its name; the default one if omitted.
        height: Of the panel, as in CSS.

    Attributes:
        selection: What is selected, as ``store.get`` takes it: a name, an ObjectRef of an object without one, or
            ``None``.  May be set, and observed.
    """

    _esm = _built("widget.js") or NOT_BUILT
    _css = _built("widget.css")

    _state = traitlets.Unicode().tag(sync=True)  # JSON of a State
    _diff = traitlets.Unicode().tag(sync=True)  # JSON of a Diff of it; "" for none
    _selected = traitlets.Unicode().tag(sync=True)  # id of the object
    height = traitlets.Unicode(HEIGHT).tag(sync=True)
    selection = traitlets.Any(None, allow_none=True)

    def __init__(self, store: Store | str | None = None, *, height: str = HEIGHT) -> None:
        self._follower = Follower(store.name if isinstance(store, Store) else store, self._tell)
        self._audience = Audience()
        self._base: State | None = None  # what `_state` says
        self._now: State | None = None
        self._shell: Any = None
        self._deeds = Deeds(self._follower.name, self._release_here)
        super().__init__(height=height)
        self.on_msg(self._heard)

    @property
    def store(self) -> str:
        """Name of the store."""
        return self._follower.name

    def __repr__(self) -> str:
        return f"Panel(store={self.store!r})"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        self.follow()
        return super()._repr_mimebundle_(**kwargs)

    def follow(self) -> None:
        """Follow the store; showing the panel does that by itself."""
        self._audience.seen()
        self._listen_to_cells()
        self._follower.start()

    def close(self) -> None:
        """End it here and in the page, and let go of everything.  Safe to call again."""
        self._follower.close()
        self._deeds.close()
        self._stop_listening()
        super().close()

    # --- telling the page: in the follower's thread ----------------------------------------------------------------

    def _tell(self, state: State) -> None:
        now = time.monotonic()
        if self._audience.is_gone(now):
            self._follower.close()
            return
        if self._now is not None and change(self._now, state) is None:
            return
        self._now = state
        self._audience.told(now)
        self._show(state)
        if self.selection is not None:
            self._show_selection(None)

    def _show(self, state: State) -> None:
        """Tell the page what to show: the shortest change of what it was told as a whole, or all of it."""
        found = None if self._base is None else change(self._base, state)
        if isinstance(found, Diff):
            text = encode(found)
            if len(text) * _LONG < len(self._state):
                self._diff = text
                return
        self._base = state
        # In this order: the other way round the page would go back to the state before, for a moment.
        self._state = encode(state)
        self._diff = ""

    # --- hearing from the page: in the kernel's main thread -----------------------------------------------------

    def _heard(self, _widget: object, content: Any, _buffers: object) -> None:
        match content:
            case {"kind": "seen"}:
                self.follow()  # it may have been taken for gone a moment ago
            case {"kind": "open"}:
                self.follow()
                self._follower.refresh()
            case {"kind": "select", "id": str(id)}:
                self._select(id)
                self._follower.refresh()  # who looks at one object wants to know who reads it now
            case {"kind": "do", "call": int(call), "verb": str(verb), "target": target}:
                self.send({"kind": "done", "call": call, **self._done(verb, target)})

    def _done(self, verb: str, target: object) -> dict[str, Any]:
        try:
            told = self._deeds.do(verb, target)
        except (ShmError, OSError) as error:
            return {"error": str(error)}
        except Exception as error:  # of a type's own unpickling
            return {"error": f"{type(error).__name__}: {error}"}
        self._follower.refresh()
        return told

    # --- what is selected ------------------------------------------------------------------------------------------

    def _select(self, id: str) -> None:
        state = self._now
        entry = next((one for one in state.objects if one.id == id), None) if state is not None else None
        self._selected = id if entry else ""
        if entry is None or state is None:
            self.selection = None
        else:
            target = Target(entry.id, entry.name, entry.version, state.incarnation)
            self.selection = entry.name or ref_of(target)

    @traitlets.validate("selection")
    def _valid_selection(self, proposal: Any) -> Any:
        value = proposal["value"]
        if value is not None and not isinstance(value, (str, ObjectRef)):
            raise InvalidArgumentError(f"selection is a name, an ObjectRef or None, got {value!r:.100}")
        return value

    @traitlets.observe("selection")
    def _show_selection(self, _changed: Any) -> None:
        """Find out which object is meant; what is not there may come, and is looked for again then."""
        wanted, state = self.selection, self._now
        if state is None or wanted is None:
            self._selected = ""
        elif isinstance(wanted, ObjectRef):
            self._selected = str(wanted.id)
        elif not any(one.id == self._selected and one.name == wanted for one in state.objects):
            named = (one.id for one in state.objects if one.name == wanted and one.state != "held")
            self._selected = next(named, "")

    # --- the cells around it ---------------------------------------------------------------------------------------

    def _listen_to_cells(self) -> None:
        if self._shell is None and (shell := _shell()) is not None:
            self._shell = shell
            self._audience.busy()  # shown by a cell that runs
            shell.events.register("pre_execute", self._cell_begins)
            shell.events.register("post_execute", self._cell_ended)

    def _stop_listening(self) -> None:
        shell, self._shell = self._shell, None
        if shell is not None:
            shell.events.unregister("pre_execute", self._cell_begins)
            shell.events.unregister("post_execute", self._cell_ended)

    def _cell_begins(self) -> None:
        self._audience.busy()

    def _cell_ended(self) -> None:
        self._audience.free(time.monotonic())

    def _release_here(self, store: str, name: str) -> list[str]:
        shell = _shell()
        if shell is None:
            raise InvalidArgumentError("there is nothing that could be released: this process is no notebook's")
        from ..grip import release

        return release(shell, store, name)


def _shell() -> Any:
    """The IPython of this process, if it is one."""
    from IPython.core.getipython import get_ipython

    return get_ipython()
