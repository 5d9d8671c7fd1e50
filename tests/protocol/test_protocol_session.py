"""Which message is legal when: the whole table, and what a connection is after a packet that is not."""

from __future__ import annotations

import pytest
from generated import REQUESTS, messages_of
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_shm.errors import ProtocolError
from jupyter_shm.protocol import messages as m
from jupyter_shm.protocol import wire
from jupyter_shm.protocol.session import DISCARDING, LEGAL, NEW, OPEN, Session

HELLO = m.Hello(pid=7, label="a.ipynb", kernel="", python="3.11", package="0")

REQUEST_OF = {
    m.Hello: HELLO,
    m.Reserve: m.Reserve(1, 64),
    m.ReserveNursery: m.ReserveNursery(1, 1 << 20, 64),
    m.Ring: m.Ring(),
    m.Commit: m.Commit(1, 5, "name", 64, 8, 0, True),
    m.Abandon: m.Abandon(5),
    m.Cancel: m.Cancel(1),
    m.Delete: m.Delete(1, "name", 0),
    m.Pin: m.Pin(1, "name", 0, True),
    m.Expire: m.Expire(1, "name", 0, 5),
    m.Drop: m.Drop(5),
    m.Forked: m.Forked(77),
    m.Hint: m.Hint(5),
    m.Look: m.Look(1, "name"),
    m.Wait: m.Wait(1, ("name",), 1),
    m.List: m.List(1, 0, False),
    m.Info: m.Info(1, "name", 0),
    m.Clients: m.Clients(1, 0),
    m.Stats: m.Stats(1),
    m.SetCapacity: m.SetCapacity(1, 1 << 30),
    m.Events: m.Events(1, 0),
    m.Stop: m.Stop(1, False),
    m.Pend: m.Pend(1),
    m.Fulfil: m.Fulfil(1, 9, 5, 64, 8, 0),
}
NUMBERED = [kind for kind in REQUESTS if hasattr(REQUEST_OF[kind], "number") and kind is not m.Cancel]


def session_in(state: str) -> Session:
    session = Session()
    if state != NEW:
        session.receive(wire.encode_opening(HELLO), 0)
    if state == DISCARDING:
        refused(session, b"garbage")
    assert session.state == state
    return session


def refused(session: Session, packet: bytes, descriptors: int = 0, truncated: bool = False) -> str:
    """Let a session refuse a packet; the reason."""
    with pytest.raises(ProtocolError) as caught:
        session.receive(packet, descriptors, truncated)
    return caught.value.reason


def packet_of(state: str, kind: type) -> bytes:
    message = REQUEST_OF[kind]
    return wire.encode_opening(message) if state == NEW else wire.encode(message)


# --- The table --------------------------------------------------------------------------------------------------------


def test_every_request_has_an_example_here():
    assert set(REQUEST_OF) == set(REQUESTS)


@pytest.mark.parametrize("kind", REQUESTS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("state", [NEW, OPEN])
def test_a_message_is_legal_exactly_where_the_table_says_so(state: str, kind: type):
    session = session_in(state)

    if (state, kind) in LEGAL:
        assert session.receive(packet_of(state, kind), 0) == REQUEST_OF[kind]
        assert session.state == LEGAL[state, kind] == OPEN
    else:
        assert refused(session, packet_of(state, kind)) == "illegal"
        assert session.state == DISCARDING


def test_only_hello_opens_a_connection_and_only_once():
    assert {kind for state, kind in LEGAL if state == NEW} == {m.Hello}
    assert {kind for state, kind in LEGAL if state == OPEN} == set(REQUESTS) - {m.Hello}


@pytest.mark.parametrize("kind", REQUESTS, ids=lambda kind: kind.__name__)
def test_a_connection_that_is_discarded_reads_everything_and_says_nothing(kind: type):
    session = session_in(DISCARDING)

    assert session.receive(packet_of(OPEN, kind), 3, truncated=True) is None
    assert session.receive(b"garbage", 0) is None
    assert session.state == DISCARDING


@pytest.mark.parametrize("kind", REQUESTS, ids=lambda kind: kind.__name__)
def test_no_request_takes_descriptors(kind: type):
    state = NEW if kind is m.Hello else OPEN
    session = session_in(state)

    assert refused(session, packet_of(state, kind), descriptors=1) == "unexpected-descriptors"
    assert session.state == DISCARDING


@pytest.mark.parametrize("state", [NEW, OPEN])
def test_a_packet_that_was_cut_is_refused_even_where_it_can_be_read(state: str):
    session = session_in(state)

    assert refused(session, packet_of(state, m.Hello), truncated=True) == "packet-truncated"
    assert session.state == DISCARDING


@pytest.mark.parametrize("state", [NEW, OPEN])
def test_garbage_is_malformed(state: str):
    assert refused(session_in(state), b"\x00\x01\x02\x03garbage") == "malformed"


def test_an_opening_in_an_open_connection_is_malformed():
    assert refused(session_in(OPEN), wire.encode_opening(HELLO)) == "malformed"


# --- Wire versions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [wire.encode(HELLO), b"", b"\xff what a later version may say"], ids=len)
def test_another_wire_version_is_known_by_its_number_whatever_it_says(body: bytes):
    session = Session()

    assert session.receive(wire.PREAMBLE.pack(wire.MAGIC, m.WIRE + 1) + body, 0) is None
    assert (session.wire, session.state) == (m.WIRE + 1, DISCARDING)


# --- Request numbers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NUMBERED, ids=lambda kind: kind.__name__)
def test_a_number_that_was_used_before_is_illegal(kind: type):
    session = session_in(OPEN)
    session.receive(wire.encode(m.Stats(1)), 0)

    assert refused(session, packet_of(OPEN, kind)) == "illegal"


def test_the_first_number_is_above_zero():
    assert refused(session_in(OPEN), wire.encode(m.Stats(0))) == "illegal"


def test_numbers_may_leave_gaps_up_to_the_largest():
    session = session_in(OPEN)

    for number in (1, 2, 1000, (1 << 63) - 1):
        assert session.receive(wire.encode(m.Stats(number)), 0) == m.Stats(number)


def test_a_cancel_bears_the_number_of_another_request():
    session = session_in(OPEN)
    session.receive(wire.encode(m.Stats(5)), 0)

    assert session.receive(wire.encode(m.Cancel(5)), 0) == m.Cancel(5)
    assert session.receive(wire.encode(m.Stats(6)), 0) == m.Stats(6)


# --- Texts ------------------------------------------------------------------------------------------------------------

TOO_LONG = {
    "hello": m.Hello(1, "\u20ac" * 86, "", "", ""),  # 258 bytes in 86 characters
    "look": m.Look(1, "n" * (m.MAX_NAME + 1)),
    "look, counted in bytes": m.Look(1, "\u20ac" * 43),
    "delete": m.Delete(1, "n" * 60_000, 0),
    "pin": m.Pin(1, "n" * 60_000, 0, True),
    "expire": m.Expire(1, "n" * 60_000, 0, 5),
    "info": m.Info(1, "\x01" * 60_000, 0),
    "wait": m.Wait(1, ("short", "n" * (m.MAX_NAME + 1)), 1),
    "wait for none": m.Wait(1, (), 0),
    "wait for 0 of 1": m.Wait(1, ("name",), 0),
    "wait for 2 of 1": m.Wait(1, ("name",), 2),
    "wait for too many": m.Wait(1, ("n",) * (m.MAX_WAIT_NAMES + 1), 1),
    "wait for too many objects": m.Wait(1, (), 1, 0, (5,) * (m.MAX_WAIT_IDS + 1)),
    "wait for 3 of 1 and 1": m.Wait(1, ("n",), 3, 0, (5,)),
}


@pytest.mark.parametrize("message", TOO_LONG.values(), ids=TOO_LONG)
def test_a_text_whose_echo_might_not_fit_a_packet_is_illegal(message):
    session = session_in(NEW if isinstance(message, m.Hello) else OPEN)
    packet = wire.encode_opening(message) if isinstance(message, m.Hello) else wire.encode(message)

    assert refused(session, packet) == "illegal"


def test_the_longest_texts_are_legal():
    session = Session()
    label, name = "\u20ac" * 85 + "x", "\u20ac" * 42 + "xx"

    assert session.receive(wire.encode_opening(m.Hello(1, label, label, label, label)), 0)
    assert session.receive(wire.encode(m.Look(1, name)), 0)
    assert session.receive(wire.encode(m.Wait(2, (name,) * m.MAX_WAIT_NAMES, m.MAX_WAIT_NAMES)), 0)
    assert session.receive(wire.encode(m.Wait(3, (), 0, 0, (5,) * m.MAX_WAIT_IDS)), 0)


# --- Anything at all --------------------------------------------------------------------------------------------------

packets = (
    st.binary(min_size=1, max_size=100)
    | st.one_of([messages_of(kind) for kind in REQUESTS]).flatmap(
        lambda message: st.sampled_from([wire.encode(message), wire.encode_opening(message)])
    )
    | st.binary(max_size=40).map(lambda data: wire.encode_opening(HELLO) + data)
)


@settings(max_examples=300, deadline=None)
@given(conversation=st.lists(st.tuples(packets, st.integers(0, 2), st.booleans()), max_size=8), is_open=st.booleans())
def test_whatever_comes_a_session_answers_with_a_legal_request_or_one_error_for_good(conversation, is_open: bool):
    session = session_in(OPEN if is_open else NEW)

    for packet, descriptors, truncated in conversation:
        before, reason = session.state, None
        try:
            message = session.receive(packet, descriptors, truncated)
        except ProtocolError as error:
            message, reason = None, error.reason
        assert (message is None) == (session.state == DISCARDING)
        assert message is None or LEGAL[before, type(message)] == session.state
        assert reason in {None, "malformed", "illegal", "packet-truncated", "unexpected-descriptors"}
        assert reason is None or before != DISCARDING
