"""A call that was made, and the promises that it is to keep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from ..client.arguments import is_count
from ..client.parcels import STORED, Parcel, name_parcel, pack_parcel, plain_parcel
from ..client.promises import Promise, promise_of, promised
from ..client.refs import ObjectRef
from ..errors import InvalidArgumentError
from .functions import Definition
from .messages import Where
from .output import Origin
from .trouble import TaskFailure


class Task:
    """A call that was made.

    Args:
        name: Of the function, for people.
        definition: Of the function.
        arguments: All but those that are references.
        kept: What has to live until the task has ended.
        refs: Those: which argument, and the reference.
        returns: How many values it returns.
        retries: How often it may run again after the death of a worker.

    Attributes:
        number: In its engine.
        actor: Which actor it is for; 0: none.
        method: As for ``Call``.
        promises: One for each value that it returns.
        origin: Where its output goes.
    """

    __slots__ = (
        "actor",
        "arguments",
        "definition",
        "kept",
        "method",
        "name",
        "number",
        "origin",
        "promises",
        "refs",
        "retries",
        "returns",
    )

    def __init__(
        self,
        name: str,
        definition: Definition,
        arguments: Parcel,
        kept: list[ObjectRef],
        refs: list[tuple[Where, ObjectRef]],
        returns: int,
        retries: int,
    ) -> None:
        self.name = name
        self.definition = definition
        self.arguments = arguments
        self.kept = kept
        self.refs = refs
        self.returns = returns
        self.retries = retries
        self.actor = 0
        self.method = ""
        self.number = 0
        self.promises: list[Promise] = []
        self.origin: Origin | None = None

    def promise(self, cancel: Callable[[Promise], object]) -> list[Promise]:
        """Make its promises; ``cancel`` gives it up."""
        self.promises = [Promise(self.name, cancel) for _ in range(self.returns)]
        return self.promises

    @property
    def pending_inside(self) -> list[Promise]:
        """What the references inside of its arguments wait for.

        They arrive as references, and whoever gets one in a worker blocks that worker; if all did, what they wait for
        would never run.  So the task begins when these are kept, however that is.
        """
        return [ref.promise for ref in self.kept if ref.promise is not None and not ref.promise.is_kept]

    def keep(self, parcels: list[Parcel]) -> None:
        """It has ended: take leases on what is stored."""
        for promise, parcel in zip(self.promises, parcels, strict=True):
            keep(promise, parcel)

    def fail(self, failure: TaskFailure) -> None:
        """It has failed."""
        for promise in self.promises:
            promise.keep(failure=failure)


def check_count(what: str, value: object, least: int) -> None:
    """Is a setting a whole number?"""
    if not is_count(value) or isinstance(value, bool) or value < least:  # type: ignore[operator]
        raise InvalidArgumentError(f"{what} is a whole number from {least}, got {value!r:.100}")


Gathered: TypeAlias = "tuple[Parcel, list[ObjectRef], list[tuple[Where, ObjectRef]]]"


def gather(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Gathered:
    """Make the arguments of a call ready to travel.

    Returns:
        All but those that are references; what has to live until the task has ended; and those: which, and the reference.

    Raises:
        UnpicklableError: One of them cannot be pickled.
    """
    refs: list[tuple[Where, ObjectRef]] = []
    if any(type(one) is ObjectRef for one in args):
        refs += [(at, one) for at, one in enumerate(args) if type(one) is ObjectRef]
        args = tuple(None if type(one) is ObjectRef else one for one in args)
    if kwargs and any(type(one) is ObjectRef for one in kwargs.values()):
        refs += [(name, one) for name, one in kwargs.items() if type(one) is ObjectRef]
        kwargs = {name: one for name, one in kwargs.items() if type(one) is not ObjectRef}
    arguments = plain_parcel((args, kwargs), *args, *kwargs.values())
    kept: list[ObjectRef] = []
    if arguments is None:
        arguments, kept = pack_parcel((args, kwargs), may_carry=True)
    return arguments, kept, refs


def keep(promise: Promise, parcel: Parcel) -> None:
    """Keep a promise with what has come."""
    if parcel.kind == STORED:
        promise.keep(stored=parcel.ref())
    else:
        promise.keep(value=parcel)


def arrived(parcel: Parcel) -> ObjectRef:
    """A reference to what has come."""
    if parcel.kind == STORED:
        return parcel.ref()
    promise = Promise()
    promise.keep(value=parcel)
    return promised(promise)


def value_of(ref: ObjectRef) -> Parcel:
    """What a reference means that is there; whoever sends it keeps the reference."""
    if ref.promise is None:
        return name_parcel(ref)
    return parcel_of(promise_of(ref))


def parcel_of(promise: Promise) -> Parcel:
    """What a promise was kept with."""
    value = promise.value
    if value is None:
        assert promise.stored is not None
        return name_parcel(promise.stored)
    if isinstance(value, Parcel):
        return value
    return pack_parcel(value.build("r", copy=False), may_carry=True)[0]
