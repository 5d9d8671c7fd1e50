from __future__ import annotations

import array
import fcntl
import os
import select
import signal
import socket
import threading
from pathlib import Path

import pytest
from children import eventually, run, start

from jupyter_shm.linux import packets
from jupyter_shm.linux.packets import END, MAX_DESCRIPTORS, MAX_PACKET, Packet


@pytest.fixture
def ends():
    ours, theirs = packets.pair()
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.fixture
def listener(runtime_folder):
    sock = packets.listen(runtime_folder / "test.sock")
    yield sock
    sock.close()


def count() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def fill(sock: socket.socket) -> int:
    """Send until the queue is full; how many packets went."""
    sent = 0
    while packets.send(sock, b"x", wait=False):
        sent += 1
    return sent


@pytest.mark.parametrize("data", [b"x", b"y" * 5000, bytes(MAX_PACKET)], ids=len)
def test_a_packet_arrives_whole(ends, data):
    ours, theirs = ends

    assert packets.send(ours, data) is True

    assert packets.receive(theirs) == Packet(data, (), False)


def test_packets_stay_apart_and_in_order(ends):
    ours, theirs = ends
    for data in (b"1", b"22", b"333"):
        packets.send(ours, data)

    assert [packets.receive(theirs).data for _ in range(3)] == [b"1", b"22", b"333"]


def test_descriptors_arrive_close_on_exec_and_open_the_same_file(ends, heap):
    ours, theirs = ends
    os.pwrite(heap.fd, b"hello", 0)

    packets.send(ours, b"two", [heap.read_only, heap.fd])
    packet = packets.receive(theirs)

    assert (packet.data, packet.truncated, len(packet.descriptors)) == (b"two", False, 2)
    for fd in packet.descriptors:
        assert os.pread(fd, 5, 0) == b"hello"
        assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    packets.close_all(packet.descriptors)


def test_as_many_descriptors_as_allowed_arrive(ends, heap):
    ours, theirs = ends

    packets.send(ours, b"x", [heap.fd] * MAX_DESCRIPTORS)
    packet = packets.receive(theirs)

    assert len(set(packet.descriptors)) == MAX_DESCRIPTORS
    packets.close_all(packet.descriptors)


@pytest.mark.parametrize(
    ("data", "descriptors"), [(b"", []), (bytes(MAX_PACKET + 1), []), (b"x", [0] * (MAX_DESCRIPTORS + 1))], ids=repr
)
def test_what_no_packet_can_hold_is_refused_before_it_is_sent(ends, data, descriptors):
    ours, theirs = ends

    with pytest.raises(ValueError, match="a packet holds"):
        packets.send(ours, data, descriptors)

    assert packets.receive(theirs, wait=False) is None


def test_a_packet_of_a_peer_that_is_too_long_is_truncated_and_its_descriptors_closed(ends, heap):
    ours, theirs = ends
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [heap.fd, heap.fd]))
    before = count()

    ours.sendmsg([bytes(MAX_PACKET + 1)], [rights])
    packet = packets.receive(theirs)

    assert (len(packet.data), packet.descriptors, packet.truncated) == (MAX_PACKET, (), True)
    assert count() == before


def test_too_many_descriptors_of_a_peer_are_all_closed(ends, heap):
    ours, theirs = ends
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [heap.fd] * (MAX_DESCRIPTORS + 1)))
    before = count()

    ours.sendmsg([b"greedy"], [rights])

    assert packets.receive(theirs) == Packet(b"greedy", (), True)
    assert count() == before


def test_descriptors_that_find_no_room_in_the_process_truncate_the_packet_and_leak_none():
    code = """
        import os, resource
        from jupyter_shm.linux import packets
        ours, theirs = packets.pair()
        packets.send(ours, b"three", [0, 1, 2])
        before = os.listdir("/proc/self/fd")
        resource.setrlimit(resource.RLIMIT_NOFILE, (theirs.fileno() + 2, theirs.fileno() + 2))
        packet = packets.receive(theirs)
        print(packet.truncated, packet.descriptors, os.listdir("/proc/self/fd") == before)
    """

    assert run(code) == (0, "True () True")


def test_nothing_there_is_none_without_waiting(ends):
    assert packets.receive(ends[0], wait=False) is None
    assert packets.receive(ends[0], wait=False, peek=True) is None


def test_a_receive_time_out_is_none(ends):
    packets.set_receive_timeout(ends[0], 0.001)

    assert packets.receive(ends[0]) is None


def test_a_full_queue_is_false_and_has_room_again_when_the_peer_reads(ends):
    ours, theirs = ends

    sent = fill(ours)
    refused = packets.send(ours, b"x", wait=False)
    taken = 0
    while packets.receive(theirs, wait=False):
        taken += 1

    assert refused is False
    assert taken == sent > 10
    assert packets.send(ours, b"x", wait=False) is True


def test_a_waiting_send_goes_on_when_the_peer_reads(ends):
    ours, theirs = ends
    sent = fill(ours)
    sender = threading.Thread(target=packets.send, args=(ours, b"last"))
    sender.start()

    received = [packets.receive(theirs).data for _ in range(sent + 1)]

    sender.join()
    assert received[-1] == b"last"


def test_a_closed_peer_is_the_end_again_and_again_after_its_last_packet(ends):
    ours, theirs = ends
    packets.send(ours, b"last")
    ours.close()

    assert packets.receive(theirs) == Packet(b"last", (), False)
    assert packets.receive(theirs) == packets.receive(theirs, wait=False) == END


def test_replies_of_a_peer_that_closed_with_our_packets_unread_are_not_lost(ends):
    ours, theirs = ends
    packets.send(theirs, b"reply 1")
    packets.send(theirs, b"reply 2")
    packets.send(ours, b"never read")
    theirs.close()

    assert packets.receive(ours, peek=True) == Packet(b"reply 1", (), False)
    assert packets.receive(ours) == Packet(b"reply 1", (), False)
    assert packets.receive(ours, wait=False) == Packet(b"reply 2", (), False)
    assert packets.receive(ours) == END


def test_discarding_reaches_past_the_news_that_the_peer_closed(ends):
    ours, theirs = ends
    packets.send(theirs, b"reply 1")
    packets.send(theirs, b"reply 2")
    packets.send(ours, b"never read")
    theirs.close()

    packets.discard(ours)

    assert packets.receive(ours) == Packet(b"reply 2", (), False)


def test_sending_to_a_closed_peer_is_a_connection_error(ends):
    ours, theirs = ends
    theirs.close()

    with pytest.raises(ConnectionError):
        packets.send(ours, b"x")


def test_an_empty_packet_of_a_peer_looks_like_the_end(ends):
    ours, theirs = ends
    ours.sendmsg([b""])

    assert packets.receive(theirs) == END


def test_a_peeked_packet_stays_until_it_is_discarded(ends, heap):
    ours, theirs = ends
    packets.send(ours, b"first", [heap.fd])
    packets.send(ours, b"second")

    peeked = [packets.receive(theirs, peek=True) for _ in range(2)]
    before = count()
    packets.discard(theirs)

    assert [packet.data for packet in peeked] == [b"first", b"first"]
    assert count() == before
    assert packets.receive(theirs) == Packet(b"second", (), False)
    for packet in peeked:
        assert len(packet.descriptors) == 1
        packets.close_all(packet.descriptors)


def test_discarding_where_there_is_nothing_returns(ends):
    ours, theirs = ends
    packets.discard(ours)
    theirs.close()

    packets.discard(ours)

    assert packets.receive(ours) == END


@pytest.mark.parametrize("timeout", [None, 5.0])
def test_not_waiting_means_not_waiting_whatever_the_default_time_out(timeout, runtime_folder):
    socket.setdefaulttimeout(timeout)
    try:
        listener = packets.listen(runtime_folder / "test.sock")
        client = packets.connect(runtime_folder / "test.sock")
        server = packets.accept(listener)
        made = [*packets.pair(), client, server]
    finally:
        socket.setdefaulttimeout(None)

    assert [sock.gettimeout() for sock in made] == [None] * 4
    for sock in [*made, listener]:
        sock.close()


def test_sockets_are_close_on_exec(ends, listener):
    client = packets.connect(Path(listener.getsockname()))
    server = packets.accept(listener)

    assert not any(sock.get_inheritable() for sock in (*ends, listener, client, server))
    client.close()
    server.close()


def test_the_listening_socket_is_for_its_owner_only(listener):
    assert Path(listener.getsockname()).stat().st_mode & 0o777 == 0o600


def test_accepting_does_not_wait(listener):
    assert packets.accept(listener) is None


def test_listening_replaces_a_file_that_was_left_over(runtime_folder):
    path = runtime_folder / "test.sock"
    packets.listen(path).close()
    with pytest.raises(ConnectionRefusedError):
        packets.connect(path)

    with packets.listen(path), packets.connect(path) as client:
        assert client.getpeername() == str(path)


def test_connecting_where_there_is_no_file_says_so(runtime_folder):
    with pytest.raises(FileNotFoundError):
        packets.connect(runtime_folder / "absent.sock")


def test_connecting_to_a_listener_that_accepts_nobody_ends_in_time(runtime_folder):
    path = runtime_folder / "test.sock"
    with packets.listen(path) as listener:
        listener.listen(0)
        with packets.connect(path), pytest.raises(TimeoutError, match=r"test\.sock within 0\.01 s"):
            packets.connect(path, timeout=0.01)


def test_a_connected_socket_waits_for_room_as_long_as_it_takes(listener):
    with packets.connect(Path(listener.getsockname())) as client:
        option = client.getsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, 16)

    assert option == bytes(16)


def test_the_peer_is_known_by_pid_and_user(listener):
    code = """
        import sys
        from pathlib import Path
        from jupyter_shm.linux import packets
        with packets.connect(Path(sys.argv[1])) as sock:
            print(packets.peer_credentials(sock).pid, flush=True)
            packets.receive(sock)
    """
    with start(code, listener.getsockname()) as child:
        select.select([listener], [], [])
        with packets.accept(listener) as server:
            assert packets.peer_credentials(server) == (child.pid, os.getuid(), os.getgid())
            packets.send(server, b"done")
            assert int(child.stdout.readline()) == os.getpid()


def test_a_killed_peer_is_the_end(listener):
    code = """
        import sys
        from pathlib import Path
        from jupyter_shm.linux import packets
        sock = packets.connect(Path(sys.argv[1]))
        packets.send(sock, b"hello")
        sys.stdin.read()
    """
    with start(code, listener.getsockname()) as child:
        select.select([listener], [], [])
        with packets.accept(listener) as server:
            assert packets.receive(server).data == b"hello"
            child.kill()
            assert packets.receive(server) == END


def test_a_signal_does_not_end_a_wait(ends):
    ours, theirs = ends
    code = "import os, signal, sys; os.kill(int(sys.argv[1]), signal.SIGWINCH)"
    seen = []
    previous = signal.signal(signal.SIGWINCH, lambda *_: (seen.append(1), packets.send(ours, b"after")))
    try:
        with start(code, os.getpid()):
            assert packets.receive(theirs).data == b"after"
    finally:
        signal.signal(signal.SIGWINCH, previous)

    eventually(lambda: seen == [1])
