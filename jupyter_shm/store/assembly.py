"""Putting a store together: anew, or over what a store that died has left with the keeper."""

from __future__ import annotations

import gc
import logging
import os
import platform
import secrets
import sys
import time
from dataclasses import dataclass

from .. import __version__
from ..errors import SettingError
from ..linux import packets
from ..linux.limits import SPILL as SPILL_SETTING
from ..linux.limits import (
    capacity_setting,
    default_capacity,
    default_reserve,
    heap_nbytes,
    keep_setting,
    linger_setting,
    reserve_setting,
    spill_setting,
)
from ..linux.spillfile import open_spill, spill_limit
from ..sizes import format_size
from .aftermath import Aftermath
from .core import Core
from .crash_points import CrashingDaemon, CrashPoints, points_of_test
from .daemon import Daemon
from .doorway import Doorway
from .holders import Holders
from .inquiries import Identity
from .ledger import Ledger
from .linger import LINGER
from .lodging import LISTENER, LOCK, MEMORY, SPILL, decode_note
from .references import KEEP
from .regions import Regions
from .restore import restore
from .vault import Vault
from .writes import writes

log = logging.getLogger("jupyter_shm.store")


@dataclass(frozen=True)
class Settings:
    """What the command line says."""

    store: str  # name of the store
    capacity: int | None  # bytes


class StoreEndedError(Exception):
    """The store had ended in order, and its keeper did not get to know it.  Never leaves the process."""


def assemble(settings: Settings, vault: Vault, has_crashed: bool) -> Daemon:
    """A store that is ready to serve: everything that is to be kept is lodged, everything that was kept is in use.

    Args:
        settings: What the command line says.
        vault: What is kept; owned by what is made of it.
        has_crashed: The store before has died, and nobody had killed it.

    Raises:
        ShmError: A setting, or the machine, does not let it.
        StoreEndedError: There is nothing to go on with.
    """
    started = time.monotonic()
    gc.disable()  # what is restored is all there to stay: looking for garbage in it would take half of the time
    is_new = MEMORY not in vault
    daemon = _new(settings, vault) if is_new else _restored(settings, vault, has_crashed)
    gc.freeze()
    gc.enable()
    if not is_new:
        log.info("restored in %.0f ms", 1000 * (time.monotonic() - started))
    return daemon


def _new(settings: Settings, vault: Vault) -> Daemon:
    capacity = settings.capacity or capacity_setting() or default_capacity()
    doorway = Doorway(settings.store, vault[LOCK].descriptors[0])
    spill, reason = _open_spill()
    regions = Regions.create(heap_nbytes(), secrets.randbits(64), spill)
    regions.index.set_capacity(capacity)
    regions.index.set_since(time.monotonic_ns())
    vault.keep(MEMORY, b"", regions.descriptors)
    vault.keep(SPILL, reason.encode(), spill)
    vault.keep(LISTENER, b"", (doorway.listener.fileno(),))
    return _daemon(doorway, regions, vault, Aftermath(Ledger(capacity, regions.heap_nbytes)))


def _open_spill() -> tuple[tuple[int, ...], str]:
    """The descriptors of a spill heap; or none, and why."""
    folder = spill_setting()
    if not folder:
        return (), f"{SPILL_SETTING} turns it off"
    try:
        return open_spill(folder), ""
    except SettingError as error:
        log.warning("objects are not spilled to disk: %s", error)
        return (), str(error)


def _restored(settings: Settings, vault: Vault, has_crashed: bool) -> Daemon:
    regions = Regions(vault[MEMORY].descriptors, spill=vault[SPILL].descriptors)
    index = regions.index
    if index.has_ended:
        raise StoreEndedError
    if not index.is_valid():
        raise RuntimeError("the index has a layout that this release does not know; nothing can be restored")
    doorway = Doorway(settings.store, vault[LOCK].descriptors[0], packets.adopt(vault[LISTENER].descriptors[0]))
    points = points_of_test()
    daemon = _daemon(doorway, regions, vault, _restore_books(regions, points))
    for _, lodged in vault.of("client"):
        daemon.resume(decode_note(lodged.note), *lodged.descriptors)
    daemon.recover(has_crashed)
    for key, lodged in vault.of("wait"):
        daemon.resume_wait(int(key.split("/")[1]), lodged.note)
    return daemon


def _restore_books(regions: Regions, points: CrashPoints | None) -> Aftermath:
    index = regions.index
    step = _nothing if points is None else points.step
    if points is not None:
        points.begin("restart")
    restored = restore(
        index,
        regions.heap_nbytes,
        lambda record: regions.contained(record.offset, record.nbytes),
        terms=dict(regions.terms()),
    )
    ledger, write = restored.ledger, writes(index)
    for slot, what in restored.damaged.items():
        log.error("slot %d of the index is damaged: %s", slot, what)
    for repair in restored.repairs:
        step()
        write[type(repair)](repair)
    step()
    index.rebuild_names((name.encode(), object.slot) for name, object in ledger.names.items())
    regions.clear_unused_tables()
    step()
    regions.punch_unowned(ledger.extents.free_ranges())
    return Aftermath(ledger, restored.applied, restored.ended, restored.last_client)


def _daemon(doorway: Doorway, regions: Regions, vault: Vault, aftermath: Aftermath) -> Daemon:
    index, ledger = regions.index, aftermath.ledger
    index.note_start(os.getpid())
    wanted = reserve_setting()
    ledger.warm.wanted = default_reserve() if wanted is None else wanted
    ledger.warm.fit(ledger.capacity)
    ledger.warm.note_put(time.monotonic())
    ledger.spill.reason = vault[SPILL].note.decode()
    if ledger.spill.is_open:
        ledger.spill.limit = spill_limit(regions.spill, ledger.spill.used)
    ledger.read_label = regions.label
    python = platform.python_version()
    us = Identity(index.store, os.getpid(), __version__, python, index.since / 1e9, index.starts)
    core = Core(ledger, Holders(), us, time.monotonic(), aftermath)
    keep = keep_setting()
    core.references.keep = KEEP if keep is None else keep
    said = f"the running store (jupyter_shm {__version__}, {sys.executable}, Python {python}, pid {os.getpid()})"
    log.info("%s serves, capacity %s", said, format_size(ledger.capacity))
    core.linger.seconds = linger_setting() or LINGER
    kind = Daemon if points_of_test() is None else CrashingDaemon
    return kind(doorway, regions, core, vault, said)


def _nothing() -> None:
    """No test has asked for crash points."""
