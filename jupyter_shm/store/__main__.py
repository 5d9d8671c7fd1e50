"""``python -m jupyter_shm.store``: one store, started by a client's first use (client/launch.py) or the CLI."""

from __future__ import annotations

import argparse
import logging
import os
import platform
import resource
import secrets
import sys
import time

from .. import __version__
from ..errors import ShmError
from ..linux.limits import capacity_setting, default_capacity, heap_nbytes
from ..linux.machine import require_linux
from ..sizes import format_size
from .core import Core
from .daemon import Daemon
from .doorway import Doorway
from .holders import Holders
from .ledger import Ledger
from .regions import Regions

log = logging.getLogger("jupyter_shm.store")


def main(argv: list[str] | None = None) -> int:
    """Run a store until it ends.

    The caller holds the store's lock and passes its descriptor on; what goes wrong before the first client can
    connect is written to ``--ready-fd``, and ``ready`` when nothing does.

    Returns:
        The exit status.
    """
    options = _parse(argv)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    try:
        daemon = _build(options)
    except (ShmError, OSError) as error:
        log.critical("cannot start: %s", error)
        os.write(options.ready_fd, f"{getattr(error, 'reason', 'start')}\n{error}".encode())
        return 1
    daemon.heed_signals()  # before anybody can know that there is something to be ended
    os.write(options.ready_fd, b"ready")
    os.close(options.ready_fd)
    try:
        daemon.run()
    except Exception:
        log.exception("the store ends by an error of its own")
        return 1
    return 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m jupyter_shm.store", description=main.__doc__)
    parser.add_argument("--store", required=True, help="name of the store")
    parser.add_argument("--lock-fd", type=int, required=True, help="descriptor that holds the store's lock")
    parser.add_argument("--ready-fd", type=int, required=True, help="descriptor to tell success or failure on")
    parser.add_argument("--capacity", type=int, help="bytes; JUPYTER_SHM_CAPACITY or half of the memory if omitted")
    return parser.parse_args(argv)


def _build(options: argparse.Namespace) -> Daemon:
    require_linux()
    os.umask(0o077)
    _raise_descriptor_limit()
    capacity = options.capacity or capacity_setting() or default_capacity()
    store = secrets.randbits(64)
    doorway = Doorway(options.store, options.lock_fd)
    regions = Regions(heap_nbytes(), store)
    python = platform.python_version()
    core = Core(
        Ledger(capacity, heap_nbytes()),
        Holders(),
        (store, os.getpid(), __version__, python),
        time.monotonic(),
    )
    identity = f"the running store (jupyter_shm {__version__}, {sys.executable}, Python {python}, pid {os.getpid()})"
    daemon = Daemon(doorway, regions, core, identity)
    log.info("%s serves %s, capacity %s", identity, doorway.paths.socket, format_size(capacity))
    return daemon


def _raise_descriptor_limit() -> None:
    """Each client takes two descriptors here, and the usual soft limit of 1,024 is for programs that use select()."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main())
