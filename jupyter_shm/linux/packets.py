"""Packets over AF_UNIX sockets, with the descriptors that travel in them.  What a packet means is not known here.

SOCK_SEQPACKET: one packet is one message, whole or not at all, in order.  A descriptor that arrives is close-on-exec
and belongs to whoever called ``receive``; a descriptor that is sent stays the sender's.
Sockets made here have no Python time-out, which would turn ``wait=False`` into a wait; use SO_RCVTIMEO instead.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from array import array
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

MAX_PACKET = 64 * 1024
"""Bytes in the longest packet; longer answers are paged."""
MAX_DESCRIPTORS = 8
"""Descriptors that travel with one packet at most."""

_ANCILLARY = socket.CMSG_SPACE(MAX_DESCRIPTORS * array("i").itemsize)
# Plain integers: the constants of the socket module are enums, and combining two of those costs a microsecond.
_SEND = int(socket.MSG_NOSIGNAL)
_SEND_NOW = int(socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
_TAKE = int(socket.MSG_CMSG_CLOEXEC)
_NOW = int(socket.MSG_DONTWAIT)
_PEEK = int(socket.MSG_PEEK)
_CUT = int(socket.MSG_TRUNC | socket.MSG_CTRUNC)
_CREDENTIALS = struct.Struct("iII")
_TIMEVAL = struct.Struct("ll")


class Packet(NamedTuple):
    """What one ``receive`` returned.

    ``Packet(b"", (), False)`` is the end: the peer has closed.  Nobody can send an empty packet with ``send``, and
    a peer that does so by other means is treated as gone.
    """

    data: bytes
    descriptors: tuple[int, ...]
    """Owned by the receiver, which closes each once."""
    truncated: bool
    """Data or descriptors were cut off: longer than ``MAX_PACKET``, more than ``MAX_DESCRIPTORS``, or this process
    has no descriptor left (RLIMIT_NOFILE).  Those that arrived are closed already."""


END = Packet(b"", (), False)


class Credentials(NamedTuple):
    """Who is at the other end, as the kernel noted it when the connection was made."""

    pid: int
    """0 when the peer lives in a pid namespace that is not visible from here."""
    uid: int
    gid: int


def send(sock: socket.socket, data: bytes, descriptors: Sequence[int] = (), *, wait: bool = True) -> bool:
    """Send one packet.

    Args:
        sock: A connected socket of this module.
        data: 1 to ``MAX_PACKET`` bytes.
        descriptors: At most ``MAX_DESCRIPTORS``; the peer gets duplicates, these stay the caller's.
        wait: Wait for room in the queue.  The store never does.

    Returns:
        True when the packet is in the peer's queue, False when the queue is full and nothing was sent.

    Raises:
        ValueError: Nothing to send, or more than a packet holds.
        ConnectionError: The peer is gone.
        OSError: ETOOMANYREFS when more descriptors are in flight than RLIMIT_NOFILE allows.
    """
    if not 0 < len(data) <= MAX_PACKET or len(descriptors) > MAX_DESCRIPTORS:
        raise ValueError(
            f"a packet holds 1 to {MAX_PACKET} bytes and at most {MAX_DESCRIPTORS} descriptors,"
            f" not {len(data)} bytes and {len(descriptors)} descriptors"
        )
    flags = _SEND if wait else _SEND_NOW
    try:
        if descriptors:
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))
            sock.sendmsg([data], [rights], flags)
        else:
            sock.send(data, flags)
    except BlockingIOError:
        return False
    return True


def receive(sock: socket.socket, *, wait: bool = True, peek: bool = False) -> Packet | None:
    """Take the next packet.

    Args:
        sock: A connected socket of this module.
        wait: Wait for one, for ever or as long as SO_RCVTIMEO says.
        peek: Leave the packet in the queue.  Its descriptors are duplicated all the same and belong to the caller;
            ``discard`` then takes the packet out without receiving them again.

    Returns:
        The packet; ``END`` when the peer has closed and its last packet was taken; None when there is none yet.

    Raises:
        OSError: As recvmsg(2).
    """
    flags = _TAKE | (0 if wait else _NOW) | (_PEEK if peek else 0)
    try:
        # Not socket.recv_fds(): it drops its flags, and every process that is spawned would inherit the descriptors.
        data, ancillary, seen, _ = sock.recvmsg(MAX_PACKET, _ANCILLARY, flags)
    except BlockingIOError:
        return None
    except ConnectionResetError:
        # The peer closed with packets of ours unread.  The kernel says so once, ahead of the packets that the peer
        # had sent before: those are still in the queue and must not be lost.
        return receive(sock, wait=wait, peek=peek)
    if not ancillary and not seen & _CUT:
        return Packet(data, (), False)
    return _with_descriptors(data, ancillary, bool(seen & _CUT))


def _with_descriptors(data: bytes, ancillary: list[tuple[int, int, bytes]], truncated: bool) -> Packet:
    numbers = array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers.frombytes(payload[: len(payload) - len(payload) % numbers.itemsize])
    if truncated:
        close_all(numbers)
        return Packet(data, (), True)
    return Packet(data, tuple(numbers), False)


def discard(sock: socket.socket) -> None:
    """Take the packet that was peeked out of the queue; its descriptors are not received again.

    Returns at once, also when there is no packet.

    Raises:
        OSError: As recv(2).
    """
    # ConnectionResetError comes instead of the packet (see ``receive``), so it is asked for once more.
    # No contextlib.suppress, which takes as long as the call.
    try:
        sock.recv(1, _NOW)
    except ConnectionResetError:
        with contextlib.suppress(BlockingIOError):
            sock.recv(1, _NOW)
    except BlockingIOError:
        return


def close_all(descriptors: Iterable[int]) -> None:
    """Close each descriptor of a packet that nobody wants.  A failing close still gives the number back."""
    for fd in descriptors:
        with contextlib.suppress(OSError):
            os.close(fd)


def pair() -> tuple[socket.socket, socket.socket]:
    """Two sockets that are connected to each other, owned by the caller."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(None)
    theirs.settimeout(None)
    return ours, theirs


def listen(path: Path) -> socket.socket:
    """Bind a listening socket that only this user can connect to.

    Args:
        path: Where; at most 107 bytes.  A file left over there is removed first: the caller holds the store's lock,
            so it is nobody's.

    Returns:
        A non-blocking, close-on-exec socket, owned by the caller, who removes the file in the end.

    Raises:
        OSError: As bind(2) and chmod(2).
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        sock.setblocking(False)
        path.unlink(missing_ok=True)
        sock.bind(str(path))
        path.chmod(0o600)
        sock.listen(socket.SOMAXCONN)
    except BaseException:
        sock.close()
        raise
    return sock


def adopt(fd: int) -> socket.socket:
    """A socket out of a descriptor that another process has made and handed on; owned from now on."""
    return socket.socket(fileno=fd)


def accept(listener: socket.socket) -> socket.socket | None:
    """Accept one connection.

    Args:
        listener: What ``listen`` returned.

    Returns:
        A blocking, close-on-exec socket, owned by the caller; None when nobody is waiting.

    Raises:
        OSError: EMFILE or ENFILE when descriptors have run out; the connection then waits in the queue.
    """
    try:
        sock, _ = listener.accept()
    except (BlockingIOError, ConnectionAbortedError):
        return None
    sock.settimeout(None)
    return sock


def connect(path: Path | str, *, timeout: float = 10.0) -> socket.socket:
    """Connect to a listening socket.

    Args:
        path: Where it was bound.
        timeout: Seconds to wait while the listener's queue is full, which means that it accepts nobody.

    Returns:
        A blocking, close-on-exec socket, owned by the caller.

    Raises:
        FileNotFoundError: There is no such file.
        ConnectionRefusedError: The file is left over; nobody listens.
        TimeoutError: The listener did not make room in time.
        OSError: As connect(2).
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        sock.settimeout(None)
        _set_send_timeout(sock, timeout)
        sock.connect(str(path))
        _set_send_timeout(sock, 0)
    except BlockingIOError:
        sock.close()
        raise TimeoutError(f"nobody accepted a connection at {path} within {timeout:g} s") from None
    except BaseException:
        sock.close()
        raise
    return sock


def _set_send_timeout(sock: socket.socket, seconds: float) -> None:
    whole = int(seconds)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(whole, int((seconds - whole) * 1e6)))


def peer_credentials(sock: socket.socket) -> Credentials:
    """Who is at the other end.

    Raises:
        OSError: The socket is not connected.
    """
    return Credentials(*_CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)))


def set_receive_timeout(sock: socket.socket, seconds: float) -> None:
    """Let ``receive`` return None after so many seconds without a packet; 0 waits for ever.

    SO_RCVTIMEO costs nothing per call, unlike a poll before each.
    """
    whole = int(seconds)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.pack(whole, int((seconds - whole) * 1e6)))
