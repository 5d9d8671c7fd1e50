"""What clients of the name protocol are told to do: operations, and the words for them.  No state, no steps here."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

NAMES = ("x", "y")
NONE = -1  # no slot, no extent, no object, no operation


# Members of these enums are strings because states are hashed all the time, and a string knows its hash.
class Verb(str, Enum):
    """What a client asks for."""

    PUT = "put"
    PUT_NEW = "put new"
    PUT_AGAIN = "put again"
    DELETE = "delete"


class Operation(NamedTuple):
    """One call of one client.  Its place in the scenario is its number, and the id of the object that it makes."""

    client: int
    verb: Verb
    name: str
    source: str = ""  # of a PUT_AGAIN: the name under which the contained object is found

    @property
    def is_put(self) -> bool:
        """Does it make an object?"""
        return self.verb is not Verb.DELETE


Scenario = tuple[Operation, ...]


def put(client: int, name: str) -> Operation:
    """Publish a new object under ``name``, whatever stood there."""
    return Operation(client, Verb.PUT, name)


def put_new(client: int, name: str) -> Operation:
    """Publish a new object under ``name``; refused when something stands there."""
    return Operation(client, Verb.PUT_NEW, name)


def put_again(client: int, source: str, name: str) -> Operation:
    """Publish what ``source`` names under ``name`` too: a header of its own that contains the old object's bytes.

    It begins only when there is a ``source``.
    """
    return Operation(client, Verb.PUT_AGAIN, name, source)


def delete(client: int, name: str) -> Operation:
    """Take ``name`` away; refused when nothing stands there."""
    return Operation(client, Verb.DELETE, name)


def show(scenario: Scenario, number: int) -> str:
    """An operation, or the object that it made, for people."""
    operation = scenario[number]
    source = f"{operation.source} as " if operation.source else ""
    return f"#{number} ({operation.verb.value} {source}{operation.name})"
