"""Faults that come together: each alone is harmless, and so must they be in company."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import socket
import sys
import termios

import numpy as np
import pytest
from peers import forked

import jupyter_shm as shm
from jupyter_shm.client.publishing import StoredBytes
from jupyter_shm.errors import LimitError
from jupyter_shm.protocol import messages as m
from jupyter_shm.protocol import wire
from jupyter_shm.testing.private import eventually


def unread_bytes(sock):
    """Memory that takes what the other end has not read yet (SIOCOUTQ)."""
    return int.from_bytes(fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


def test_garbage_and_half_a_close_of_a_reader_that_takes_no_answers_harm_nobody_else(store):
    store.put(np.zeros(100_000), "x")
    pid = store.stats().pid
    naughty = shm.connect()
    view = naughty.get("x")
    sock = naughty._session.connection.sock

    # More answers than a queue has room for: the store keeps one back, and reads no more of this client.
    sock.send(wire.encode(m.Wait(1, ("awaited",), 1)))
    for number in range(2, 300):
        sock.send(wire.encode(m.Stats(number)))
    assert eventually(lambda: unread_bytes(sock) < 65536)
    os.kill(pid, signal.SIGSTOP)
    sock.send(wire.encode(m.Look(600, "x")))
    sock.send(b"\xff\xff\xffgarbage")
    sock.shutdown(socket.SHUT_WR)
    os.kill(pid, signal.SIGCONT)

    store.put(1, "awaited")
    assert store.stats().pid == pid
    assert store.get("awaited") == 1
    store.delete("x")
    assert eventually(lambda: store.stats().held > 0)
    assert not view.any()
    assert "Traceback" not in store._session.paths.log.read_text()
    del view
    naughty.close()


def test_a_socket_that_is_removed_again_and_again_is_bound_again_in_the_end(store):
    store.put(1, "x")
    path = store._session.paths.socket

    for _ in range(50):
        assert eventually(path.exists)
        path.unlink(missing_ok=True)

    def is_found():
        with shm.connect() as other:
            return other.stats().pid == store.stats().pid

    assert eventually(path.exists)
    assert eventually(is_found)
    assert store.get("x") == 1


def test_a_child_that_was_forked_with_a_connection_lets_go_although_a_sibling_had_none(store):
    store.put(np.zeros(100_000), "x")
    views = [store.get("x")]
    path = store._session.paths.socket
    with_none = path.stat()
    path.rename(path.with_suffix(".away"))
    forked(lambda: None)
    assert eventually(path.exists)
    assert path.stat().st_ino != with_none.st_ino

    def holders_without_the_view():
        views.clear()
        return len(store.info("x").holders)

    assert forked(holders_without_the_view) == 1  # the parent


def test_a_limit_of_file_sizes_is_named_and_nothing_is_lost(store):
    def put_beyond():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        for array in (np.zeros(1 << 20), np.zeros((1000, 1000))[::2, ::2]):
            try:
                store.put(array, "x")
            except LimitError as error:
                return "ulimit -f" in str(error), store.stats().reserved
        return None

    assert forked(put_beyond) == (True, 0)


def test_an_address_space_without_room_is_named(store):
    def get():
        mapped = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()  # noqa: PTH123, SIM115
        resource.setrlimit(resource.RLIMIT_AS, (mapped + (64 << 20),) * 2)
        try:
            shm.connect()
        except LimitError as error:
            return "ulimit -v" in str(error)
        return None

    assert forked(get) is True


def test_stored_buffers_are_found_by_their_own_extent_among_many(private_store):
    store = private_store
    for n in range(200):
        store.put(np.full(2000, n), f"n{n}")
    views = [store.get(f"n{n}") for n in range(200)]
    stored = StoredBytes(store._session)

    found = [stored.find(view[500:1500].view(np.uint8).data) for view in views]

    assert [id for id, _ in found] == [store.info(f"n{n}").id for n in range(200)]
    assert stored.find(memoryview(bytes(8192))) is None


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda _: shm.connect(5), shm.errors.SettingError),
        (lambda _: shm.connect(capacity=1.5), shm.errors.SettingError),
        (lambda store: store.list(5), shm.errors.InvalidArgumentError),
        (lambda store: store.wait(5), shm.errors.InvalidKeyError),
        (lambda store: store.wait(["a"], num_returns="1"), shm.errors.InvalidArgumentError),
        (lambda store: store.get("a", timeout="soon"), shm.errors.InvalidArgumentError),
        (lambda store: store.get("a", timeout=float("nan")), shm.errors.InvalidArgumentError),
    ],
)
def test_an_argument_of_the_wrong_kind_is_an_error_of_the_tree(store, call, error):
    with pytest.raises(error):
        call(store)


def test_a_name_with_control_characters_does_not_reach_the_terminal(store):
    store.put(1, "a\x1b[31m\nb")

    assert "\x1b" not in str(store.list())
    assert str(store.list()).count("\n") == 1
    assert "\\x1b" in str(store.info("a\x1b[31m\nb"))
