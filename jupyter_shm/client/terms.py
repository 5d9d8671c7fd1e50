"""What is agreed about a name: how long it lives, with whom, and whether it is pinned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import InvalidArgumentError
from ..protocol import messages as m
from ..tables.layout import KERNEL_LIFETIME, PINNED
from .arguments import check_key
from .calls import Caller, once_more_if_lost, this_version

if TYPE_CHECKING:
    from datetime import timedelta

    from .session import Session

Duration: TypeAlias = "float | str | timedelta"
"""Seconds, or text such as "10m"."""

NO_TERMS = (0, 0)
"""Flags, and nanoseconds to live: nothing was agreed."""

STORE, KERNEL, REFERENCE = "store", "kernel", "reference"
"""How long an object lives: until its name is taken away, or its publisher is gone too; or, without a name, as long as
it is referred to."""


def terms_of(name: str | None, ttl: Duration | None, lifetime: str, pin: bool) -> tuple[int, int]:
    """Check what a put asks for: flags, and nanoseconds to live.

    Raises:
        SettingError: ``ttl`` is no duration.
        InvalidArgumentError: It makes no sense, or not without a name.
    """
    if lifetime not in (STORE, KERNEL):
        raise InvalidArgumentError(f"lifetime is {STORE!r} or {KERNEL!r}, got {lifetime!r:.100}")
    if name is None:
        asked = {"ttl": ttl is not None, f"lifetime={KERNEL!r}": lifetime == KERNEL, "pin": bool(pin)}
        wanted = " and ".join(what for what, is_asked in asked.items() if is_asked)
        if not wanted:
            return NO_TERMS
        raise InvalidArgumentError(
            f"{wanted} of an object without a name: such an object lives as long as a reference or a view of it does. "
            "Give it a name, or leave that out"
        )
    return (PINNED if pin else 0) | (KERNEL_LIFETIME if lifetime == KERNEL else 0), nanoseconds(ttl)


def nanoseconds(ttl: Duration | None) -> int:
    """A time to live, as the wire has it; 0: for ever.  Raises ``SettingError``."""
    if ttl is None:
        return 0
    from ..durations import parse_duration

    seconds = parse_duration(ttl, "ttl")
    return max(1, int(seconds * 1e9)) if seconds * 1e9 < m.MAX_COUNT else m.MAX_COUNT


class Terms(Caller):
    """The methods of a store that change what is agreed about a name."""

    @once_more_if_lost
    def pin(self, key: Any) -> None:
        """Keep an object from expiring and from being spilled.  It can still be overwritten and deleted.

        An object that has a time to live does not expire while it is pinned, and a pin says nothing of versions to
        come: the next put under the name has terms of its own.

        Args:
            key: A name, or an ObjectRef of a named object: then only if the name still means that version.

        Raises:
            ObjectNotFoundError: There is no such object.
            InvalidArgumentError: It has no name.
        """
        self._agree(key, m.Pin, True)

    @once_more_if_lost
    def unpin(self, key: Any) -> None:
        """Take the pin away.  If the object's time is over by now, its name ends at once.

        Args and errors as for ``pin``; what is not pinned stays as it is.
        """
        self._agree(key, m.Pin, False)

    @once_more_if_lost
    def expire(self, key: Any, ttl: Duration | None) -> None:
        """Let a name end at another time.  Who reads the object then keeps its bytes.

        Args:
            key: As for ``pin``.
            ttl: Seconds from now on, or text such as ``"10m"``; ``None``: it does not expire.  Time in which the
                machine sleeps does not count.

        Raises:
            SettingError: ``ttl`` is no duration.
            ObjectNotFoundError, InvalidArgumentError: As for ``pin``.
        """
        self._agree(key, m.Expire, nanoseconds(ttl))

    def _agree(self, key: Any, kind: type, value: object) -> None:
        name = check_key(key)
        with self._call() as session:
            session.connection.request(kind, *_meant(session, key, name), value)


def _meant(session: Session, key: Any, name: bytes | None) -> tuple[str, int]:
    return (key, 0) if name is not None else this_version(session, key)
