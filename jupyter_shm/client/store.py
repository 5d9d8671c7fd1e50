"""The store as users see it: put and get by name, wait, list, and the accounts."""

from __future__ import annotations

import contextlib
import fnmatch
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import (
    ClosedError,
    GetTimeoutError,
    InvalidArgumentError,
    ObjectNotFoundError,
    StoreLostWarning,
)
from ..linux.runtime import store_name
from ..protocol import messages as m
from ..protocol.names import encode_name
from ..serial.pack import pack
from ..serial.unpack import Forwarded
from ..sizes import format_size, parse_size
from . import asking, listing, promises, publishing, reading, waiting
from .again import again
from .arguments import UNSET, check_key, check_version, deadline_of, is_count
from .calls import once_more_if_lost, this_version
from .connection import FOREVER
from .events import Events
from .leases import Leased
from .packed import PackedPuts
from .progress import progress_of
from .refs import ObjectRef
from .session import Session, opening, retire_orphans
from .template import placed_as, small_array
from .terms import NO_TERMS, STORE, Duration, Terms, terms_of
from .travel import Luggage
from .writing import place

if TYPE_CHECKING:
    from types import FrameType

    from .info import ObjectInfo, ObjectList, StoreStats

# Inside the class, `list` is the method.
Keys = list[Any]
Infos: TypeAlias = "list[ObjectInfo]"
Names = list[str]


class Store(Terms, Events, PackedPuts):
    """A connection to this user's store on this machine.

    Args:
        name: Which store, if there are several; ``JUPYTER_SHM_STORE`` or ``"default"`` if omitted.
        capacity: Bytes, or text such as ``"8GB"``, for a store that has to be started; ``JUPYTER_SHM_CAPACITY`` or
            half of the memory if omitted.
        start: Start the store if it does not run?  False is for who only looks, or ends one.

    Raises:
        FileNotFoundError: It does not run, and ``start`` is false.

    Any thread may use it.  It survives the end of its store process: the next call connects to a store anew.
    """

    def __init__(self, name: str | None = None, *, capacity: int | str | None = None, start: bool = True) -> None:
        self.name = store_name(name)
        self._capacity = None if capacity is None else parse_size(capacity, "capacity")
        self._start = start
        self.is_closed = False
        with opening:
            self._session = self._open()

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else f"pid {self._session.pid}"
        return f"<Store {self.name!r}, {state}>"

    # --- put and get -------------------------------------------------------------------------------------------

    @once_more_if_lost
    def put(
        self,
        obj: object,
        name: str | None = None,
        *,
        overwrite: bool = True,
        ttl: Duration | None = None,
        lifetime: str = STORE,
        pin: bool = False,
        progress: bool = False,
    ) -> ObjectRef:
        """Store a snapshot of an object.  Later changes of ``obj`` are not seen by anybody.

        What lives in the store already (a fetched array, a slice of one) is not copied: the new object refers to the
        same bytes.

        Args:
            obj: Anything that cloudpickle can pickle.
            name: Publish it under this name, 1 to 128 bytes of UTF-8.  Without one, the object lives as long as a
                reference or a view of it does, in whatever process.
            overwrite: May it replace what is published under the name?  Who reads that keeps the old bytes.
            ttl: Seconds, or text such as ``"10m"``, after which the name ends; see ``expire``.
            lifetime: ``"kernel"``: the name ends with this connection: when this process ends, however it does, or
                when this ``Store`` is closed and no view is left that was fetched through it.
            pin: Keep the object from expiring and from being spilled; see ``pin``.
            progress: Show a progress bar if the copy takes longer than about a second.

        Returns:
            A reference to this very version.

        Raises:
            UnpicklableError: The text names the path to the culprit.
            InvalidNameError, InvalidKeyError: The name cannot be one.
            ObjectExistsError: The name is taken and ``overwrite`` is false.
            InvalidArgumentError, SettingError: ``ttl``, ``lifetime`` or ``pin`` make no sense, or there is no name.
            StoreFullError: It does not fit; the text says why and names the largest objects.

        Whatever is raised, the store is as it was; but if the answer to a put under a name is interrupted, or lost with
        the connection, the name may have been published.
        """
        if name is not None:
            encode_name(name)
        terms = NO_TERMS
        if ttl is not None or pin or lifetime is not STORE:
            terms = terms_of(name, ttl, lifetime, pin)
        session = self._use()
        small = small_array(obj, session.label)
        if small is not None:
            ref = publishing.put_small(session, small) if name is None else None
            if ref is not None:
                return ref
            with self._call() as session:
                return publishing.publish(session, placed_as(small), name or "", overwrite, terms)
        luggage = Luggage()
        packed = pack(obj, luggage.reducers)
        with self._call() as session, progress_of(packed.nbytes if progress else 0, name) as told:
            placed = place(packed, session.label, publishing.StoredBytes(session).find, luggage.contained(session))
            return publishing.publish(session, placed, name or "", overwrite, terms, told)

    def get(
        self, key: Any, *, mode: str = "r", copy: bool = False, timeout: float | None = UNSET, default: Any = UNSET
    ) -> Any:
        """Fetch an object without copying it.

        Args:
            key: A name, an ObjectRef, or a list or tuple of them (which gives a list).
            mode: ``"r"``: a read-only view of the stored bytes.  ``"c"``, for ndarrays: a private copy-on-write
                view; writable at once, and nobody else sees what is written.
            copy: An ordinary private copy instead of a view.
            timeout: Seconds to wait for a name that is not published; ``None`` for ever.  Left out: do not wait.  What
                a reference means and somebody is still to make, the result of a task above all, is waited for in any
                case; left out: for ever.
            default: What to give for a name that is not published, instead of an error.

        Returns:
            The object.  Views of it stay valid whatever happens to the name, to this connection and to the store.

        Raises:
            ObjectNotFoundError: Nobody has published the name, or the version that the reference means is gone.
            GetTimeoutError: Nobody published it, or made it, in time.
            ObjectLostError: Whoever was to make it has ended.
            InvalidModeError, InvalidKeyError: The arguments make no sense.
            DeserializeError: This interpreter cannot rebuild the object.
        """
        if mode == "r" and not copy and timeout is UNSET and not self.is_closed:
            array = again(self._session, key)
            if array is not None:
                return array
            if type(key) is str:
                return self._get(key, mode, copy, None, default)
        reading.check_mode(mode)
        deadline = deadline_of(timeout)
        if isinstance(key, (list, tuple)):
            for one in key:
                check_key(one)
            waiting.wait_all(key, deadline)
            return [self._get(one, mode, copy, deadline, default) for one in key]
        return self._get(key, mode, copy, deadline, default)

    def _get(self, key: Any, mode: str, copy: bool, deadline: float | None, default: Any) -> Any:
        # A name is not checked before it is looked up: what cannot be one is not published.
        while True:
            name = key.encode(errors="replace") if type(key) is str else check_key(key)
            if name is None and key.promise is not None:
                return promises.get(self, key, mode, copy, deadline)
            session = self._use()
            leased = session.leases.take(name) if name is not None else self._take_ref(session, key)
            if leased is None:
                check_key(key)
                try:
                    session, leased = self._ask_for(key, deadline, default is UNSET)
                except (ObjectNotFoundError, GetTimeoutError):
                    if default is UNSET:
                        raise
                    return default
            try:
                return reading.read(session.leases, leased, mode, copy, leased.id if name is None else key)
            except Forwarded as forwarded:
                # It is contained in the one that is leased now, and lives as long.
                key = ObjectRef(session.welcome.store, forwarded.id, "", 1, lease=leased)

    async def aget(
        self, key: Any, *, mode: str = "r", copy: bool = False, timeout: float | None = UNSET, default: Any = UNSET
    ) -> Any:
        """``get`` for code that runs in an event loop: whatever has to be waited for is waited for in a thread.

        A task that waits here may be cancelled.
        """
        from .awaiting import aget

        return await aget(self, key, mode=mode, copy=copy, timeout=timeout, default=default)

    @once_more_if_lost
    def _ask_for(self, key: Any, deadline: float | None, is_told: bool) -> tuple[Session, Leased]:
        with self._call() as session:
            return session, asking.take_missed(session, key, deadline, is_told=is_told)

    def _take_ref(self, session: Session, ref: ObjectRef) -> Leased | None:
        return session.leases.take_id(ref.id) if ref.store == session.welcome.store else None

    # --- names -------------------------------------------------------------------------------------------------

    @once_more_if_lost
    def delete(self, key: Any) -> None:
        """Take a name away, at once.  Who reads the object keeps its bytes; the last one to let go frees them.

        Args:
            key: A name, or an ObjectRef: then only if the name still means that version.

        Raises:
            ObjectNotFoundError: There is no such object.
        """
        name = check_key(key)
        with self._call() as session:
            fields = (key, 0) if name is not None else this_version(session, key)
            session.connection.request(m.Delete, *fields)

    @once_more_if_lost
    def wait(
        self, keys: Sequence[Any], *, num_returns: int = 1, newer_than: int | None = None, timeout: float | None = None
    ) -> tuple[Keys, Keys]:
        """Wait until so many of these are there.

        Args:
            keys: Names and ObjectRefs, each once.  What a reference means is there, or somebody is still to make it; if
                he ends first, it is not waited for any longer, and ``get`` says so.
            num_returns: How many.
            newer_than: Wait for versions of the names that are above this one, as ``info(name).version`` tells them:
                for the next put of ``name`` with ``wait(name, newer_than=store.info(name).version)``.  Versions count
                the puts under a name, and begin anew when it was deleted.
            timeout: Seconds; ``None`` for ever.

        Returns:
            ``(ready, pending)``, each in the order of ``keys``.  After a timeout ``ready`` may be shorter than
            ``num_returns``; it is longer when more were there.

        Raises:
            InvalidArgumentError: ``num_returns`` is not between 1 and the number of keys, a key comes twice,
                ``newer_than`` makes no sense: it is about names; or so many cannot be waited for at once.
        """
        if isinstance(keys, (str, ObjectRef)) or not isinstance(keys, Iterable):
            keys = [keys]
        keys = list(keys)
        for key in keys:
            check_key(key)
        if not is_count(num_returns) or not 1 <= num_returns <= len(keys):
            raise InvalidArgumentError(
                f"num_returns is {num_returns}; it must be between 1 and the number of keys, {len(keys)}"
            )
        if len(set(keys)) < len(keys):
            raise InvalidArgumentError("a key comes twice in keys; each may come once")
        names = tuple(key for key in keys if isinstance(key, str))
        refs = [key for key in keys if not isinstance(key, str)]
        version = check_version(newer_than, len(refs))
        if refs and waiting.promises_in(refs):
            there = waiting.wait_mixed(self, keys, num_returns, newer_than, deadline_of(timeout) or FOREVER)
            return there, [key for key in keys if key not in set(there)]
        with self._call() as session:
            ids = asking.unmade(session, refs)  # most references were given out when their object was there
            missing = num_returns - len(refs) + len(ids)
            if missing > 0:
                with contextlib.suppress(GetTimeoutError):
                    asking.wait_for(session, names, missing, deadline_of(timeout) or FOREVER, version, tuple(ids))
            present: set[Any] = {name for name in names if asking.is_newer(session, name, version)}
            present.update(refs)
            present.difference_update(asking.still_unmade(session, ids))
        return [key for key in keys if key in present], [key for key in keys if key not in present]

    # --- what there is -----------------------------------------------------------------------------------------

    @once_more_if_lost
    def info(self, key: Any) -> ObjectInfo:
        """Everything that is known of one object, and who holds it.

        Raises:
            ObjectNotFoundError: There is no such object.
        """
        name = check_key(key)
        with self._call() as session:
            fields = (key, 0) if name is not None else this_version(session, key)
            facts: m.Facts = session.connection.request(m.Info, *fields)
            return listing.infos(session, [facts.object])[0]

    @once_more_if_lost
    def list(self, pattern: str | None = None, *, anonymous: bool = False) -> ObjectList:
        """What is published, the newest last.

        Args:
            pattern: Only names that match it, as in a shell: ``"run*"``.
            anonymous: Objects without a name too, and those that live on only because somebody reads them.
        """
        if pattern is not None and not isinstance(pattern, str):
            raise InvalidArgumentError(f"pattern is text such as 'run*', got {pattern!r:.100}")
        from .info import ObjectList

        with self._call() as session:
            found = [facts for page in listing.pages(session, anonymous) for facts in page.objects]
            if pattern is not None:
                found = [facts for facts in found if fnmatch.fnmatchcase(facts.name, pattern)]
            return ObjectList(listing.infos(session, sorted(found, key=lambda facts: facts.created_ns)))

    @once_more_if_lost
    def stats(self) -> StoreStats:
        """The store's accounts."""
        from .info import StoreStats

        with self._call() as session:
            got: m.Accounts = session.connection.request(m.Stats)
        return StoreStats(
            capacity=got.capacity,
            used=got.used,
            held=got.held,
            reserved=got.reserved,
            reserve=got.reserve,
            objects=got.objects,
            names=got.names,
            clients=got.clients,
            payload=got.payload,
            uptime=got.uptime,
            pid=got.pid,
            keeper=got.keeper,
            starts=got.starts,
            spilled=got.spilled,
            spilled_objects=got.spilled_objects,
            spill_limit=got.spill_limit,
            spill_reason=got.spill_reason,
            version=got.package,
            python=got.python,
        )

    # --- as a mapping ------------------------------------------------------------------------------------------
    # Not a MutableMapping: its mixins would fetch every object to answer `in`, `==` or `clear`.

    def __setitem__(self, name: str, obj: object) -> None:
        encode_name(name)
        self.put(obj, name)

    def __getitem__(self, name: str) -> Any:
        return self.get(name)

    def __delitem__(self, name: str) -> None:
        encode_name(name)
        self.delete(name)

    @once_more_if_lost
    def __contains__(self, name: object) -> bool:
        encode_name(name)
        with self._call() as session:
            return asking.is_published(session, str(name))

    def __len__(self) -> int:
        return self.stats().names

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __bool__(self) -> bool:
        # An empty store is a store; `if store:` asks whether there is one.
        return True

    @once_more_if_lost
    def keys(self) -> Names:
        """The names, sorted."""
        with self._call() as session:
            return sorted(facts.name for page in listing.pages(session, anonymous=False) for facts in page.objects)

    @once_more_if_lost
    def pop(self, name: str, default: Any = UNSET) -> Any:
        """Fetch an object and take its name away; views of it stay valid."""
        encode_name(name)
        while True:
            with self._call() as session:
                leased = session.leases.take(encode_name(name))
                try:
                    if leased is None:
                        leased = asking.take_missed(session, name, None)
                except ObjectNotFoundError:
                    if default is UNSET:
                        raise
                    return default
                obj = reading.read(session.leases, leased, "r", copy=False)
                # Somebody may have replaced it meanwhile: then that is what has to be popped.
                with contextlib.suppress(ObjectNotFoundError):
                    session.connection.request(m.Delete, name, leased.id)
                    return obj

    def clear(self) -> None:
        """Take every name away.  Nothing is fetched."""
        for name in self.keys():
            with contextlib.suppress(ObjectNotFoundError):  # somebody else was faster
                self.delete(name)

    def _ipython_key_completions_(self) -> Names:
        return self.keys()

    # --- coming and going --------------------------------------------------------------------------------------

    def close(self) -> None:
        """End this connection.  Views that were fetched through it stay valid.  Safe to call again."""
        self.is_closed = True
        self._end_watches()
        retire_orphans()

    def __enter__(self) -> Store:  # noqa: PYI034 - Self is not in Python 3.10
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    def shutdown(self, force: bool = False) -> None:
        """End the whole store and this connection.  What is published is lost; existing views stay valid.

        Args:
            force: Also while other processes are connected.

        Raises:
            StoreInUseError: Other processes are connected; the text names them.
        """
        with self._call() as session:
            session.connection.request(m.Stop, force)
            session.wait_for_end()
        self.close()

    @property
    def session(self) -> Session:
        """The connection that calls go to, as far as is known."""
        return self._session

    def may_start(self) -> None:
        """From now on, start the store if it does not run."""
        self._start = True

    def uses(self, session: Session) -> bool:
        """Do calls go to this session?"""
        return not self.is_closed and getattr(self, "_session", None) is session

    def _use(self) -> Session:
        """The session to call; a new one if the store or the connection ended."""
        if self.is_closed:
            raise ClosedError(f"this connection to the store {self.name!r} was closed; connect() gives a new one")
        session = self._session
        if session.is_current():
            return session
        with opening:
            if self._session is session:
                self._session = self._open()
                retire_orphans()
                if self._session.welcome.store != session.welcome.store:
                    warnings.warn(
                        f"the store {self.name!r} (pid {session.pid}) has ended, and the names that it held are "
                        f"gone; connected to a new one (pid {self._session.welcome.pid}). Existing views stay valid.",
                        StoreLostWarning,
                        stacklevel=_level_of_caller(),
                    )
        return self._session

    def _open(self) -> Session:
        session = Session.open(self.name, self, self._capacity, self._start)
        granted = session.welcome.capacity
        if self._capacity is not None and granted != self._capacity:
            warnings.warn(
                f"the store {self.name!r} runs already with a capacity of {format_size(granted)}; the "
                f"{format_size(self._capacity)} asked for are not applied. To change it: `jupyter shm set capacity {self._capacity}`.",
                stacklevel=_level_of_caller(),
            )
        return session


def _level_of_caller() -> int:
    """How many frames above the caller of this the first one outside of the package is, as ``warnings`` counts."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - what inspect.currentframe returns
    level = 0
    while frame is not None and frame.f_globals.get("__name__", "").startswith(("jupyter_shm.", "contextlib")):
        frame, level = frame.f_back, level + 1
    return level
