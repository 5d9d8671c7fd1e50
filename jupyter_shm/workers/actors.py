"""Actors as users see them: a class with ``@remote``, its handles, and ``kill``."""

from __future__ import annotations

import functools
import os
import random
import weakref
from collections.abc import Callable
from typing import Any

from ..client.parcels import PLAIN, Parcel
from ..client.promises import promised
from ..errors import InvalidArgumentError
from . import engines, trouble
from .functions import Definition, Source, name_of
from .task import Task, check_count, gather

_chance = random.SystemRandom()


def method(*, num_returns: int = 1) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a method of an actor's class.

    Args:
        num_returns: How many values it returns, each with a reference of its own.
    """
    check_count("num_returns", num_returns, 1)

    def set_it(function: Callable[..., Any]) -> Callable[..., Any]:
        function.__shm_num_returns__ = num_returns  # type: ignore[attr-defined]
        return function

    return set_it


class RemoteClass:
    """A class whose objects live in processes of their own.

    Args:
        cls: The class.
    """

    def __init__(self, cls: type) -> None:
        self.cls = cls
        self.__wrapped_source__ = cls
        functools.update_wrapper(self, cls, updated=())

    def __call__(self, *_args: Any, **_kwargs: Any) -> Any:
        """It cannot be called like this: that is most often a slip, and would not be noticed."""
        name = self.cls.__name__
        raise TypeError(f"{name} is a remote class: call {name}.remote(...), or {name}.cls(...) for an object here")

    def __repr__(self) -> str:
        return f"<remote class {self.cls.__qualname__}>"

    def __mro_entries__(self, _bases: tuple[Any, ...]) -> tuple[type]:
        return (self.cls,)

    def __reduce__(self) -> Any:
        named = name_of(self, self.cls)
        return (RemoteClass, (self.cls,)) if named is None else (named.find, ())

    def remote(self, *args: Any, **kwargs: Any) -> ActorHandle:
        """Start a process, and make an object of the class there.

        Args:
            *args: As those of a task.
            **kwargs: The same.

        Returns:
            A handle, at once.  What the constructor raises is raised by all calls.

        Raises:
            UnpicklableError: An argument, or something that the class uses, cannot be pickled.
        """
        engine: Any = engines.engine()
        if not hasattr(engine, "home"):
            raise InvalidArgumentError(
                "an actor needs a process of its own, and shm.init(engine=executor) has said that an executor decides "
                "about processes. shm.init() goes back to workers of this process."
            )
        arguments, kept, refs = gather(args, kwargs)
        # Anew each time: a method of the class may use what was defined anew.
        definition = Source(self.cls, self).definition()
        post = _Post(engine, _number(), self.cls.__name__)
        task = Task(post.name, definition, arguments, kept + definition.kept, refs, 1, 0)
        task.actor = post.number
        engine.submit(task)
        handle = ActorHandle(post, _methods_of(self.cls))
        post.dismiss_with(handle)
        return handle


def _number() -> int:
    """For a new actor, in whatever process it is made."""
    return _chance.getrandbits(62) | 1 << 62


def _methods_of(cls: type) -> dict[str, int]:
    """The names of a class's methods, and how many values each returns."""
    return {
        name: getattr(getattr(cls, name), "__shm_num_returns__", 1)
        for name in dir(cls)
        if not (name.startswith("__") and name.endswith("__")) and callable(getattr(cls, name, None))
    }


_NO_CODE = Definition(b"", Parcel(PLAIN, b""), [])
"""A method needs none: its actor has it."""


class _Post:
    """Where an actor can be reached.

    Args:
        engine: By whom.
        number: Of the actor.
        name: Of its class.

    Attributes:
        home: The process that runs the engine: ours, or our submitter.
    """

    def __init__(self, engine: Any, number: int, name: str) -> None:
        self.engine = engine
        self.number = number
        self.name = name
        self.home: int = engine.home
        self.end: Any = None

    def dismiss_with(self, handle: ActorHandle) -> None:
        """End the actor when nobody has this handle any more."""
        self.end = weakref.finalize(handle, self.engine.dismiss, self.number, now=False)
        self.end.atexit = False


class ActorHandle:
    """Calls an actor: ``handle.method.remote(...)`` returns a reference at once.

    Calls of one caller are carried out in their order, one at a time.  The actor ends when its handle is gone and all calls
    have ended; if the handle was sent to a task or another actor, by ``shm.kill`` or with the process that runs it.
    """

    __slots__ = ("__weakref__", "_methods", "_post")

    def __init__(self, post: _Post, methods: dict[str, int]) -> None:
        self._post = post
        self._methods = methods

    def __getattr__(self, name: str) -> ActorMethod:
        returns = self._methods.get(name)
        if returns is None:
            known = ", ".join(sorted(one for one in self._methods if not one.startswith("_")))
            raise AttributeError(
                f"the actor {self._post.name} has no method {name!r}, and its attributes cannot be reached; it has "
                f"{known or 'none'}"
            )
        return ActorMethod(self, name, returns)

    def __dir__(self) -> Any:
        return sorted([*object.__dir__(self), *self._methods])

    def __repr__(self) -> str:
        return f"<actor {self._post.name}>"

    def __copy__(self) -> ActorHandle:
        return self

    def __deepcopy__(self, _memo: object) -> ActorHandle:
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActorHandle) and other._post.number == self._post.number

    def __hash__(self) -> int:
        return hash(self._post.number)

    def __reduce__(self) -> Any:
        post = self._post
        if post.end is not None:
            post.end.detach()  # from now on nobody can know who else has one
        return _arrived, (post.home, post.number, post.name, self._methods)


def _arrived(home: int, number: int, name: str, methods: dict[str, int]) -> ActorHandle:
    """The other side: a handle that was sent."""
    engine: Any = engines.current()
    if getattr(engine, "home", 0) != home:
        raise InvalidArgumentError(
            f"the handle of an actor ({name}) can be used in the process that made it, and in its workers: that is "
            f"process {home}, and this is process {os.getpid()}"
        )
    return ActorHandle(_Post(engine, number, name), methods)


class ActorMethod:
    """A method of an actor.

    Args:
        handle: The actor's.
        name: Of the method.
        num_returns: How many values it returns.
    """

    def __init__(self, handle: ActorHandle, name: str, num_returns: int) -> None:
        self._handle = handle
        self._name = name
        self._num_returns = num_returns

    def __call__(self, *_args: Any, **_kwargs: Any) -> Any:
        """It cannot be called like this."""
        raise TypeError(f"{self._name} is a method of an actor: call handle.{self._name}.remote(...)")

    def __repr__(self) -> str:
        return f"<method {self._name} of {self._handle!r}>"

    def options(self, *, num_returns: int) -> ActorMethod:
        """The same method with other settings."""
        check_count("num_returns", num_returns, 1)
        return ActorMethod(self._handle, self._name, num_returns)

    def remote(self, *args: Any, **kwargs: Any) -> Any:
        """Have the actor carry it out, after what this caller has asked of it before.

        Args:
            *args: As those of a task.
            **kwargs: The same.

        Returns:
            A reference to what it will return; a list of them if ``num_returns`` is not 1.

        Raises:
            UnpicklableError: An argument cannot be pickled.
        """
        post = self._handle._post  # noqa: SLF001 - one thing in two classes
        arguments, kept, refs = gather(args, kwargs)
        what = f"{post.name}.{self._name}"
        task = Task(what, _NO_CODE, arguments, kept, refs, self._num_returns, 0)
        task.actor, task.method = post.number, self._name
        promises = post.engine.submit(task)
        if post.engine.is_over:
            task.fail(trouble.actor_died(what, "it ended with shm.shutdown(), or this is a forked child"))
        return promised(promises[0]) if self._num_returns == 1 else [promised(promise) for promise in promises]


def kill(actor: ActorHandle) -> None:
    """End an actor at once, whatever it does.

    Calls that have not been answered raise ``ActorDiedError``, as do later ones.  Nothing happens if it has ended.

    Args:
        actor: Its handle.
    """
    if not isinstance(actor, ActorHandle):
        raise InvalidArgumentError(f"kill takes the handle of an actor, got {type(actor).__name__}: {actor!r:.100}")
    post = actor._post  # noqa: SLF001
    post.engine.dismiss(post.number, now=True)
