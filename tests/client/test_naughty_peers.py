"""Garbage on the socket ends that connection only; what it leased stays readable until it hangs up."""

from __future__ import annotations

import os
import socket
import threading

import numpy as np
import pytest
from peers import is_alive, is_nothing_reserved
from raw_peer import Raw

import jupyter_shm as shm
from jupyter_shm import errors
from jupyter_shm.client.identity import hello
from jupyter_shm.client.store import Store
from jupyter_shm.linux import packets
from jupyter_shm.linux.process import descriptor_count
from jupyter_shm.linux.runtime import store_paths
from jupyter_shm.protocol import messages as m
from jupyter_shm.protocol import wire
from jupyter_shm.testing.private import eventually


@pytest.fixture
def raw(store):
    """A raw connection that has not said hello."""
    raw = Raw()
    yield raw
    raw.close()


@pytest.fixture
def greeted(raw):
    raw.greet()
    return raw


@pytest.fixture
def others_go_on(store, runtime_folder):
    """After the test: the store lives, its other client works, and the log has a line."""
    store.put(np.arange(1000), "before")
    pid = store.stats().pid
    yield
    assert is_alive(pid)
    assert store.stats().pid == pid, "the connection of the others was not ended"
    assert store.get("before").sum() == 499_500
    store.put(1, "after")
    log = (runtime_folder / "default.log").read_text()
    assert eventually(lambda: "WARNING" in (runtime_folder / "default.log").read_text()), log
    assert "Traceback" not in log


@pytest.mark.usefixtures("others_go_on")
class TestAConnectionIsEndedBy:
    @pytest.mark.parametrize("data", [b"x", b"GET / HTTP/1.1\r\n\r\n", os.urandom(1000), b"JSHM", b"\0" * 65536])
    def test_a_first_packet_that_is_no_hello(self, raw, data):
        raw.say(data)

        assert raw.is_ended()

    def test_a_request_before_hello(self, raw):
        raw.say(wire.PREAMBLE.pack(wire.MAGIC, m.WIRE) + wire.encode(m.Stats(1)))

        assert raw.is_ended()

    @pytest.mark.parametrize(
        "data", [b"\xc1", b"\x93\xa5stats", os.urandom(300), b"\x92\xa5stats\xa1x", b"\x91" * 2000]
    )
    def test_garbage_after_hello(self, greeted, data):
        greeted.say(data)

        assert greeted.is_ended()

    def test_a_packet_that_is_too_long(self, greeted):
        greeted.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        greeted.say(wire.encode(m.Stats(1)) + bytes(70_000))

        assert greeted.is_ended()

    def test_descriptors_that_nobody_asked_for(self, store, greeted):
        pid = store.stats().pid
        before = descriptor_count(pid)
        greeted.say(wire.encode(m.Stats(1)), [0, 1])

        assert greeted.is_ended()
        assert descriptor_count(pid) == before

    def test_more_descriptors_than_a_packet_takes(self, store, greeted):
        pid = store.stats().pid
        before = descriptor_count(pid)
        greeted.say(wire.encode(m.Stats(1)), [0] * 100)

        assert greeted.is_ended()
        assert descriptor_count(pid) == before

    def test_a_second_hello(self, greeted):
        greeted.say(wire.encode(hello()))

        assert greeted.is_ended()

    @pytest.mark.parametrize("number", [5, 4, 0, -1, 1 << 63])
    def test_numbers_that_do_not_rise(self, greeted, number):
        assert greeted.ask(m.Stats(5)).number == 5
        greeted.say(wire.encode(m.Stats(number)))

        assert greeted.is_ended()

    def test_an_empty_packet(self, greeted):
        greeted.say(b"")

        assert greeted.is_ended()

    def test_a_peer_that_stops_sending(self, greeted):
        greeted.sock.shutdown(socket.SHUT_WR)

        assert greeted.is_ended()


def test_a_client_that_never_reads_its_answers_keeps_nobody_waiting(store, greeted):
    for n in range(200):
        store.put(n, f"{'x' * 100}{n}")
    greeted.sock.settimeout(0.2)
    for number in range(1, 20_000):
        try:
            greeted.say(wire.encode(m.List(number, 0, False)))
        except (TimeoutError, ConnectionError):
            break  # it is not listened to any more, or its connection was ended
    else:
        pytest.fail("the store took every question of a client that never read an answer")

    store.put(1, "x")
    assert store.get("x") == 1
    greeted.sock.close()
    assert eventually(lambda: store.stats().clients == 1)


@pytest.mark.parametrize("number", range(1, 40))
def test_a_packet_cut_anywhere_ends_that_connection_only(store, raw, number):
    packet = wire.encode_opening(hello())
    raw.say(packet[:number])

    assert raw.is_ended()
    store.put(number, "x")


# --- Requests that are legal and make no sense: refused, and nothing ends ---------------------------------------------


def test_a_commit_of_a_reservation_that_nobody_has_is_refused(store, greeted):
    answer = greeted.ask(m.Commit(1, 12345, "x", 100, 100, 0, True))

    assert (answer.reason, "x" in store) == ("bad-reservation", False)
    assert greeted.ask(m.Stats(2)).number == 2


def test_a_commit_of_somebody_elses_reservation_is_refused(store, greeted):
    theirs = store._session.connection.request(m.Reserve, 4096)

    answer = greeted.ask(m.Commit(1, theirs.id, "x", 100, 100, 0, True))

    assert (answer.reason, "x" in store) == ("bad-reservation", False)
    store._session.connection.tell(m.Abandon(theirs.id))
    assert is_nothing_reserved(store)


@pytest.mark.parametrize("nbytes", [0, -1, 1, 15, 1 << 40, -(1 << 62)])
def test_a_commit_of_an_impossible_size_is_refused(store, greeted, nbytes):
    reserved = greeted.ask(m.Reserve(1, 100))

    reason = greeted.is_refused(m.Commit(2, reserved.id, "x", nbytes, 100, 0, True))

    assert reason in ("bad-reservation", "bad-header", "ended")
    assert "x" not in store


def test_a_commit_of_bytes_that_are_no_object_is_refused(store, greeted):
    reserved = greeted.ask(m.Reserve(1, 4096))

    assert greeted.ask(m.Commit(2, reserved.id, "x", 4096, 100, 0, True)).reason == "bad-header"
    assert "x" not in store


@pytest.mark.parametrize("count", [1, 1000, 0xFFFFFFFF])
def test_a_commit_that_contains_what_does_not_exist_is_refused(store, greeted, count):
    reserved = greeted.ask(m.Reserve(1, 65536))
    head = b"JSHMOBJ2" + count.to_bytes(4, "little") + bytes(12) + b"\x07" * 64
    store._session.heap.write(reserved.offset, [(0, memoryview(head))])

    answer = greeted.ask(m.Commit(2, reserved.id, "x", 65536, 100, 0, True))

    assert answer.reason in ("contained-gone", "bad-header")
    assert "x" not in store


@pytest.mark.parametrize("nbytes", [0, -1, 1 << 62, -(1 << 63)])
def test_a_reservation_of_an_impossible_size_is_refused(store, greeted, nbytes):
    assert greeted.is_refused(m.Reserve(1, nbytes)) in ("protocol", "full", "ended")
    assert store.stats().reserved == 0


@pytest.mark.parametrize("name", ["a\0b", "x" * 129, "ä" * 65])
def test_a_commit_under_a_name_that_cannot_be_one_is_refused(store, greeted, name):
    reserved = greeted.ask(m.Reserve(1, 4096))
    head = b"JSHMOBJ2" + bytes(16)
    store._session.heap.write(reserved.offset, [(0, memoryview(head))])

    assert greeted.ask(m.Commit(2, reserved.id, name, 4096, 0, 0, True)).reason == "invalid-name"
    assert store.keys() == []


def test_one_way_messages_about_what_does_not_exist_do_nothing(store, greeted):
    store.put(1, "x")
    id = store.info("x").id
    for message in (m.Drop(id), m.Hint(id), m.Hint(1 << 62), m.Drop(7), m.Abandon(7), m.Cancel(99)):
        greeted.say(wire.encode(message))

    assert greeted.ask(m.Stats(1)).names == 1
    assert store["x"] == 1


@pytest.mark.parametrize("message", [
    m.List(1, -1, True), m.List(1, 1 << 62, True), m.Clients(1, -1), m.Info(1, "", -1), m.Info(1, "", 0),
    m.Delete(1, "", 0), m.Delete(1, "", -1), m.Delete(1, "\0", 3), m.Look(1, ""), m.Look(1, "x" * 60_000),
    m.Pin(1, "", -1, True), m.Pin(1, "x" * 60_000, 0, True), m.Expire(1, "x", 0, -1), m.Expire(1, "x", 0, 1 << 63),
    m.Wait(1, (), 0), m.Wait(1, ("a",), -5), m.Wait(1, ("a", "a"), 1), m.Wait(1, (), 1, 0, (-5,)),
    m.Fulfil(1, 5, 5, 5, 5, 5), m.Fulfil(1, 5, 5, -5, 5, 5), m.Fulfil(1, 1 << 62, 1 << 62, 1 << 62, 0, 0, 1 << 62, 1 << 62),
], ids=repr)  # fmt: skip
def test_questions_with_odd_fields_end_nothing_but_their_own_connection(store, greeted, message):
    store.put(1, "a")
    greeted.say(wire.encode(message))
    greeted.sock.recv(1 << 16)  # an answer, or the end

    assert store["a"] == 1
    assert store.stats().names == 1


# --- Wire versions ----------------------------------------------------------------------------------------------------


def test_a_client_of_another_wire_version_is_told_who_the_store_is(store, raw):
    raw.say(wire.encode_opening(hello(), wire=99))

    version, text = wire.split_opening(raw.sock.recv(1 << 16))
    assert version == m.WIRE
    assert f"pid {store.stats().pid}" in text.decode()
    assert raw.is_ended()
    store.put(1, "x")


def test_a_store_of_another_wire_version_is_an_error_with_both_cures(runtime_folder):
    listener = packets.listen(store_paths("default").socket)
    listener.setblocking(True)

    def serve():
        sock, _ = listener.accept()
        sock.recv(1 << 16)
        who = b"the running store (jupyter_shm 9.9, /opt/python, Python 3.14.1, pid 4711)"
        sock.send(wire.PREAMBLE.pack(wire.MAGIC, 99) + who)
        sock.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with pytest.raises(errors.WireVersionError) as caught:
            Store()
    finally:
        thread.join()
        listener.close()

    for fact in ("99", f"speaks {m.WIRE}", "/opt/python", "pid 4711", "jupyter shm stop", "JUPYTER_SHM_STORE"):
        assert fact in str(caught.value)


@pytest.mark.parametrize("answer", [b"x", b"JSHM", b"", wire.PREAMBLE.pack(wire.MAGIC, m.WIRE) + b"\xc1"])
def test_a_store_that_answers_garbage_is_a_clear_error(runtime_folder, answer):
    listener = packets.listen(store_paths("default").socket)
    listener.setblocking(True)

    def serve():
        sock, _ = listener.accept()
        sock.recv(1 << 16)
        if answer:
            sock.send(answer)
        sock.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with pytest.raises((errors.ProtocolError, errors.StoreConnectionError)):
            Store()
    finally:
        thread.join()
        listener.close()


# --- The leases of a connection that was ended ------------------------------------------------------------------------


NAUGHTY = {
    "garbage": lambda sock: sock.send(b"garbage"),
    "an empty packet": lambda sock: sock.send(b""),
    "the end of sending": lambda sock: sock.shutdown(socket.SHUT_WR),
    "garbage and the end of sending": lambda sock: (sock.send(b"garbage"), sock.shutdown(socket.SHUT_WR)),
    "a second hello": lambda sock: sock.send(wire.encode(hello())),
}


@pytest.mark.parametrize("way", NAUGHTY)
def test_views_of_a_connection_that_was_ended_stay_whole_and_the_next_calls_reconnect(store, way):
    other = shm.connect()
    other.put(np.full(100_000, 5), "x")
    view, private = other.get("x"), other.get("x", mode="c")
    ended = other._session
    NAUGHTY[way](ended.connection.sock)

    for n in range(20):
        store.put(np.full(100_000, n), "x")
        store.put(np.full(100_000, -n), f"y{n}")
    store.clear()
    assert eventually(lambda: store.stats().held > 0)
    assert (view == 5).all()
    assert (private == 5).all()

    assert other.stats().pid == store.stats().pid
    assert other._session is not ended
    other.put(1, "x")
    assert (view == 5).all()
    assert store.get("x") == 1
    del view, private, ended
    assert eventually(lambda: store.stats().used < 10_000)
    other.close()
    assert eventually(lambda: store.stats().clients == 1)


def test_threads_that_wait_on_a_connection_that_is_ended_are_told(store):
    other = shm.connect()
    failures = []

    def wait():
        try:
            other.get("never", timeout=None)
        except errors.StoreConnectionError as error:
            failures.append(error)

    threads = [threading.Thread(target=wait) for _ in range(4)]
    for thread in threads:
        thread.start()
    other._session.connection.sock.send(b"garbage")
    for thread in threads:
        thread.join(20)

    assert len(failures) == 4
    other.close()
