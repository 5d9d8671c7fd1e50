"""``python -m jupyter_shm.store``: one store and its keeper, started by a client's first use or the CLI.

This process is the keeper; the store is its child.  A store whose keeper died starts another one with
``--channel-fd``.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import resource
import socket
import sys

from .. import __version__
from ..errors import ShmError
from ..linux import packets, process
from ..linux.requirement import require_linux
from ..linux.runtime import store_paths
from ..protocol.messages import WIRE
from ..tables.layout import LAYOUT
from .assembly import Settings, StoreEndedError, assemble
from .keeper import Keeper
from .lodging import LOCK, READY, Lodged
from .vault import Vault

log = logging.getLogger("jupyter_shm.store")

RELEASE = f"{__version__}/{WIRE}/{LAYOUT}"
"""Package, wire and layout of the index: what another store has to have in common to go on with the memory."""

KEEPER_NAME, STORE_NAME = "shm-keeper", "shm-store"
"""What the two processes are called; their command lines are the same, for one is forked from the other."""


def main(argv: list[str] | None = None) -> int:
    """Keep a store running until it ends.

    The caller holds the store's lock and passes its descriptor on; what goes wrong before the first client can
    connect is written to ``--ready-fd``, and ``ready`` when nothing does.

    Returns:
        The exit status.
    """
    options = _parse(argv)
    logging.basicConfig(format="%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    process.set_name(KEEPER_NAME)
    settings = Settings(options.store, options.capacity)
    os.umask(0o077)
    _raise_descriptor_limit()
    if options.release not in (None, RELEASE):
        log.critical(
            "a store of release %s needs a keeper; this is %s, which might not know its memory",
            options.release,
            RELEASE,
        )
        return 1
    if options.channel_fd is not None:
        return Keeper({}, lambda *theirs: _run(settings, *theirs)).run(packets.adopt(options.channel_fd))
    lodged = {LOCK: Lodged(b"", (options.lock_fd,)), READY: Lodged(b"", (options.ready_fd,))}
    return Keeper(lodged, lambda *theirs: _run(settings, *theirs)).run()


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m jupyter_shm.store", description=main.__doc__)
    parser.add_argument("--store", required=True, help="name of the store")
    parser.add_argument("--capacity", type=int, help="bytes; JUPYTER_SHM_CAPACITY or half of the memory if omitted")
    parser.add_argument("--lock-fd", type=int, help="descriptor that holds the store's lock")
    parser.add_argument("--ready-fd", type=int, help="descriptor to tell success or failure on")
    parser.add_argument("--channel-fd", type=int, help="descriptor of the channel to a store that runs already")
    parser.add_argument("--release", help="of that store: only its own release may start it again")
    return parser.parse_args(argv)


def _run(settings: Settings, channel: socket.socket, lodged: dict[str, Lodged], has_crashed: bool) -> int:
    """The life of one store process, forked by the keeper."""
    process.set_name(STORE_NAME)
    vault = Vault(channel, lodged, lambda: _start_keeper(settings))
    try:
        require_linux()
        daemon = assemble(settings, vault, has_crashed)
    except StoreEndedError:
        vault.say_ended("the store before had ended")
        return 0
    except (ShmError, OSError) as error:
        log.critical("cannot start: %s", error)
        _tell(vault, f"{getattr(error, 'reason', 'start')}\n{error}")
        return 1
    daemon.heed_signals()  # before anybody can know that there is something to be ended
    vault.say_serving()
    _tell(vault, "ready")
    daemon.run()
    return 0


def _tell(vault: Vault, text: str) -> None:
    """Tell whoever started the first store, and waits."""
    if READY in vault:
        ready = vault[READY].descriptors[0]
        vault.let_go(READY)
        with contextlib.suppress(OSError):  # whoever it was has gone
            os.write(ready, text.encode())
        os.close(ready)


def _start_keeper(settings: Settings) -> socket.socket:
    """Another keeper in the place of one that died: a process of its own, which nobody waits for."""
    ours, theirs = packets.pair()
    with theirs:
        fd = theirs.fileno()
        argv = [sys.executable, "-m", "jupyter_shm.store", "--store", settings.store, "--channel-fd", str(fd)]
        argv += ["--release", RELEASE]
        try:
            log_file = store_paths(settings.store).log
            process.detach(argv, log=log_file, pass_fds=(fd,), env=dict(os.environ))
        except BaseException:
            ours.close()
            raise
    return ours


def _raise_descriptor_limit() -> None:
    """Each client takes two descriptors here, and the usual soft limit of 1,024 is for programs that use select()."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main())
