"""Message to packet and back, what is refused as malformed, and that the longest answers fit one packet."""

from __future__ import annotations

import contextlib
import struct

import pytest
from generated import ANSWERS, BIGGEST, REQUESTS, biggest, messages_of
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_shm.errors import ProtocolError, WireVersionError
from jupyter_shm.protocol import messages as m
from jupyter_shm.protocol import wire

any_request = st.one_of([messages_of(kind) for kind in REQUESTS])
any_answer = st.one_of([messages_of(kind) for kind in ANSWERS])


# --- There and back ---------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(message=any_request)
def test_every_request_arrives_as_it_was_sent(message):
    assert wire.decode_request(wire.encode(message)) == message


@settings(max_examples=200, deadline=None)
@given(message=any_answer)
def test_every_answer_arrives_as_it_was_sent(message):
    assert wire.decode_answer(wire.encode(message)) == message


@settings(max_examples=50, deadline=None)
@given(hello=messages_of(m.Hello), version=st.integers(0, 2**32 - 1))
def test_an_opening_packet_tells_its_wire_version_and_its_message(hello: m.Hello, version: int):
    told, body = wire.split_opening(wire.encode_opening(hello, version))

    assert (told, wire.decode_request(body)) == (version, hello)


def test_the_first_bytes_of_a_connection_never_change():
    assert wire.encode_opening(m.Stats(1), 1)[:8] == b"JSHM\x01\x00\x00\x00"


@pytest.mark.parametrize("answer", [biggest(m.Welcome), biggest(m.Refused)], ids=lambda answer: type(answer).__name__)
def test_the_answer_to_hello_is_read(answer):
    assert wire.decode_welcome(wire.encode_opening(answer)) == answer


def test_a_store_of_another_wire_version_is_told_with_its_own_words_and_both_cures():
    packet = wire.PREAMBLE.pack(wire.MAGIC, 99) + "the running store (jupyter_shm 9.9, pid 7) \udce9".encode(
        "utf-8", "surrogateescape"
    )

    with pytest.raises(
        WireVersionError, match=r"jupyter_shm 9\.9, pid 7.*version 99.*jupyter shm stop.*JUPYTER_SHM_STORE"
    ):
        wire.decode_welcome(packet)


def test_our_answer_to_another_wire_version_is_readable_in_every_version():
    assert wire.encode_foreign_opening("who we are") == b"JSHM" + struct.pack("<I", m.WIRE) + b"who we are"


# --- Malformed packets ------------------------------------------------------------------------------------------------

ARRAY_OF_4_BILLION = b"\xdd\xff\xff\xff\xff"

MALFORMED_REQUESTS = {
    "nothing": b"",
    "text": b"GET / HTTP/1.1\r\n\r\n",
    "a number": b"\x01",
    "a map": b"\x81\xa4kind\xa5stats",
    "an empty array": b"\x90",
    "no such message": b"\x92\xa4boom\x01",
    "an answer": wire.encode(m.Done(1)),
    "a tag that is no text": b"\x92\x01\x01",
    "a field too few": b"\x92\xa4look\x01",
    "two messages": wire.encode(m.Stats(1)) * 2,
    "a cut message": wire.encode(m.Look(1, "name"))[:-1],
    "an array longer than the packet": b"\x94\xa4wait\x01" + ARRAY_OF_4_BILLION,
    "a message longer than the packet": ARRAY_OF_4_BILLION + b"\xa5stats\x01",
    "a text longer than the packet": b"\x93\xa4look\x01\xdb\xff\xff\xff\xff",
    "a text that is no UTF-8": b"\x93\xa4look\x01\xa1\xff",
    "half a surrogate": b"\x93\xa4look\x01\xa3\xed\xa0\x80",
    "bytes for a text": b"\x93\xa4look\x01\xc4\x01x",
    "a float for a number": b"\x92\xa5stats\xca\x3f\x80\x00\x00",
    "true for a number": b"\x92\xa5stats\xc3",
    "null for a number": b"\x92\xa5stats\xc0",
    "1 for true": b"\x93\xa4stop\x01\x01",
    "a time stamp for a number": b"\x92\xa5stats\xd6\xff\x00\x00\x00\x01",
    "a negative number": b"\x92\xa5stats\xff",
    "a number above 63 bits": b"\x92\xa5stats\xcf" + b"\xff" * 8,
    "negative bytes": b"\x93\xa7reserve\x01\xd3" + struct.pack(">q", -(1 << 63)),
    "a negative page": b"\x94\xa4list\x01\xff\xc3",
    "deep nesting where a field is to be skipped": b"\x93\xa5stats\x01" + b"\x91" * 60_000 + b"\x01",
    "deep maps where a field is to be skipped": b"\x93\xa5stats\x01" + b"\x81" * 60_000 + b"\x01",
}


@pytest.mark.parametrize("packet", MALFORMED_REQUESTS.values(), ids=MALFORMED_REQUESTS)
def test_what_is_no_request_is_malformed(packet: bytes):
    with pytest.raises(ProtocolError) as caught:
        wire.decode_request(packet)

    assert caught.value.reason == "malformed"
    assert f"{len(packet)} bytes" in str(caught.value)


@pytest.mark.parametrize("field", ["pid", "label", "kernel", "python", "package"])
def test_no_field_of_hello_is_longer_than_a_label(field: str):
    facts = {"label": "l", "kernel": "k", "python": "3", "package": "0", "pid": 1}
    facts[field] = BIGGEST + 1 if field == "pid" else "x" * (m.MAX_LABEL + 1)

    with pytest.raises(ProtocolError, match=r"\$\["):
        wire.decode_request(wire.encode(m.Hello(**facts)))


@pytest.mark.parametrize("packet", [b"", b"JSHM", b"JSHM\x01\0\0", b"HTTP/1.1 400", bytes(8)], ids=repr)
def test_a_packet_without_our_preamble_is_malformed(packet: bytes):
    with pytest.raises(ProtocolError) as caught:
        wire.split_opening(packet)

    assert caught.value.reason == "malformed"


@settings(max_examples=300, deadline=None)
@given(packet=st.binary(max_size=200) | any_request.map(wire.encode), data=st.data())
def test_any_bytes_are_a_message_or_a_protocol_error(packet: bytes, data: st.DataObject):
    damaged = bytearray(packet)
    for _ in range(data.draw(st.integers(0, 3)) if damaged else 0):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))

    for decode in (wire.decode_request, wire.decode_answer, wire.decode_welcome):
        with contextlib.suppress(ProtocolError, WireVersionError):
            decode(bytes(damaged))


# --- The longest ones -------------------------------------------------------------------------------------------------

LONGEST_NAME = "\u20ac" * 42 + "xx"  # 128 bytes
LONGEST_LABEL = "x" * m.MAX_LABEL


def longest_facts() -> m.ObjectFacts:
    return biggest(
        m.ObjectFacts, name=LONGEST_NAME, state="live", label=LONGEST_LABEL, holders=(BIGGEST,) * m.MAX_HOLDERS
    )


LONGEST = {
    "a page of the list": m.Page(BIGGEST, tuple(longest_facts() for _ in range(m.PAGE_OBJECTS)), BIGGEST),
    "a page of the clients": m.People(
        BIGGEST, (m.Person(BIGGEST, BIGGEST, LONGEST_LABEL, LONGEST_LABEL),) * m.PAGE_CLIENTS, BIGGEST
    ),
    "a page of events": m.Past(
        BIGGEST,
        (m.Event(BIGGEST, 1e300, "overwrite", LONGEST_NAME, BIGGEST, BIGGEST, BIGGEST, LONGEST_LABEL),) * m.PAGE_EVENTS,
        BIGGEST,
        True,
        True,
    ),
    "a wait": m.Wait(
        BIGGEST, (LONGEST_NAME,) * m.MAX_WAIT_NAMES, m.MAX_WAIT_NAMES, BIGGEST, (BIGGEST,) * m.MAX_WAIT_IDS
    ),
    "the answer to a wait": m.Ready(BIGGEST, (LONGEST_NAME,) * m.MAX_WAIT_NAMES, (BIGGEST,) * m.MAX_WAIT_IDS),
    "hello": m.Hello(BIGGEST, *[LONGEST_LABEL] * 4),
}


def test_the_longest_name_here_is_the_longest_allowed():
    assert len(LONGEST_NAME.encode()) == m.MAX_NAME


@pytest.mark.parametrize("message", LONGEST.values(), ids=LONGEST)
def test_the_longest_message_fits_one_packet(message):
    assert len(wire.encode(message)) <= wire.MAX_PACKET
