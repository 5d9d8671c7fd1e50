"""Where a store is found: the private folder, the files of each store in it, and the lock that makes it one.

Only names and locks; nothing here connects to a store or starts one.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from typing import TYPE_CHECKING

from ..errors import PeerRefusedError, SettingError

if TYPE_CHECKING:
    from pathlib import Path

RUNTIME_DIR = "JUPYTER_SHM_RUNTIME_DIR"
STORE = "JUPYTER_SHM_STORE"
DEFAULT_STORE = "default"

MAX_SOCKET_PATH = 107
"""Bytes of a path that bind(2) and connect(2) take for an AF_UNIX socket."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


class StorePaths:
    """The files of one store; any of them may not exist yet.

    Args:
        folder: Where they lie; absolute.
        name: The store's.

    Attributes:
        address: Path of the socket, as text: importing pathlib takes 4 ms, and who only connects does without.
    """

    __slots__ = ("_stem", "address")

    def __init__(self, folder: str, name: str) -> None:
        self._stem = f"{folder}/{name}"
        self.address = f"{self._stem}.sock"

    @property
    def socket(self) -> Path:
        """Where the store listens."""
        return _path(self.address)

    @property
    def lock(self) -> Path:
        """What whoever is the store, or starts it, holds."""
        return _path(f"{self._stem}.lock")

    @property
    def log(self) -> Path:
        """What the store has to say."""
        return _path(f"{self._stem}.log")


def _path(text: str) -> Path:
    from pathlib import Path

    return Path(text)


def runtime_folder() -> Path:
    """The folder that holds this user's sockets, locks and logs.  Created if absent, verified always.

    Not under $XDG_RUNTIME_DIR: that vanishes at logout and differs between a terminal, a hub's spawner and cron, so
    one machine would get two stores.

    Returns:
        ``$JUPYTER_SHM_RUNTIME_DIR``, or ``/tmp/jupyter-shm-<uid>``.

    Raises:
        PeerRefusedError: It is no folder of ours alone: another owner, a link, or open to others.
        SettingError: ``$JUPYTER_SHM_RUNTIME_DIR`` is not absolute, or the folder cannot be created.
    """
    return _path(_verified_folder())


def _verified_folder() -> str:
    folder = _chosen_folder()
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise SettingError(
            f"cannot create the runtime folder {folder}: {error.strerror}. Set {RUNTIME_DIR} to a folder"
            " on this machine that you can write to."
        ) from error
    # Looked at after mkdir, in either case: whoever was here first with a folder of that name is found out now.
    _verify(folder, os.lstat(folder))
    return folder


def _chosen_folder() -> str:
    setting = os.environ.get(RUNTIME_DIR, "")
    if not setting:
        return f"/tmp/jupyter-shm-{os.getuid()}"
    if not setting.startswith("/"):
        # The store runs in "/": a relative path would mean another folder there than here.
        raise SettingError(f"{RUNTIME_DIR}={setting!r} is a relative path. Set it to an absolute one.")
    return setting.rstrip("/") or "/"


def _verify(folder: str, found: os.stat_result) -> None:
    if not stat.S_ISDIR(found.st_mode):
        kind = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "no folder"
        raise PeerRefusedError(
            f"the runtime folder {folder} is {kind} (owner uid {found.st_uid}). Remove it, or set {RUNTIME_DIR}."
        )
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid != os.getuid():
        raise PeerRefusedError(
            f"the runtime folder {folder} belongs to uid {found.st_uid} (mode {mode:04o}), and you are uid"
            f" {os.getuid()}. Set {RUNTIME_DIR} to a folder of your own."
        )
    # The set-group-id bit, which a parent folder may hand down, opens nothing to anybody.
    if mode & 0o777 != 0o700:
        raise PeerRefusedError(
            f"the runtime folder {folder} has mode {mode:04o} (owner uid {found.st_uid}), so others could reach the"
            f" store or you could not; it must be 0700. Run: chmod 700 {folder}"
        )


def store_name(name: object = None) -> str:
    """Which store is meant.

    Args:
        name: What the caller was told; None for ``$JUPYTER_SHM_STORE``, else "default".

    Returns:
        A name that is safe as part of a file name.

    Raises:
        SettingError: It is not 1 to 40 letters, digits, dots, underscores and hyphens, or begins with none of the
            first two.
    """
    source = "store name" if name is not None else STORE
    chosen = name if name is not None else os.environ.get(STORE) or DEFAULT_STORE
    if not isinstance(chosen, str) or not _NAME.fullmatch(chosen):
        raise SettingError(
            f"{source} {chosen!r} cannot be used: 1 to 40 letters, digits, dots, underscores and hyphens, beginning"
            " with a letter or digit."
        )
    return chosen


def store_paths(name: str) -> StorePaths:
    """The files of a store in the runtime folder, which is created and verified.

    Args:
        name: The store's name.

    Raises:
        SettingError: As for ``store_name``; or the folder's path is too long for a socket.
        PeerRefusedError: As for ``runtime_folder``.
    """
    name = store_name(name)
    _check_length(StorePaths(_chosen_folder(), name).address)
    return StorePaths(_verified_folder(), name)


def _check_length(path: str) -> None:
    length = len(os.fsencode(path))
    if length > MAX_SOCKET_PATH:
        raise SettingError(
            f"the socket path {path} has {length} bytes and Linux allows {MAX_SOCKET_PATH}."
            f" Set {RUNTIME_DIR} to a shorter folder."
        )


def take_lock(path: Path, *, wait: bool) -> int | None:
    """Take a lock file for this process.  The kernel gives it back when the last duplicate of the descriptor is closed.

    Args:
        path: The file; created with mode 0600 if absent.  Nothing of this package removes it, but see ``holds_lock``.
        wait: Wait until the holder lets go, interruptible by Ctrl-C.

    Returns:
        A close-on-exec descriptor, owned by the caller, that holds the lock and hands it on where it is passed on;
        None when another holds it and ``wait`` is false.

    Raises:
        OSError: As open(2); ELOOP when somebody put a symbolic link there.
    """
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            if holds_lock(path, fd):
                return fd
        except BlockingIOError:
            os.close(fd)
            return None
        except BaseException:
            os.close(fd)
            raise
        # A cleaner removed the file while we waited: the lock on it excludes nobody who opens the path now.
        os.close(fd)


def holds_lock(path: Path, fd: int) -> bool:
    """Whether a lock still keeps others out.

    When a cleaner has removed the file, whoever opens the path next gets a new file and locks that.  A holder that
    looks here now and then takes the lock again with ``take_lock(path, wait=False)`` before closing the old one.

    Args:
        path: The file.
        fd: What ``take_lock`` returned.
    """
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False
