"""The terms of an object in the books and in the index: both say the same, or the index is about to.  No I/O here."""

from __future__ import annotations

from ..tables.terms import Terms, changes
from .actions import SetTerm
from .entries import Object


def agree(object: Object, terms: Terms) -> list[SetTerm]:
    """Let an object have these terms from now on.

    Args:
        object: Any that is in the books.  One that is about to be published: carry it out before it becomes LIVE.
            One that is freed, and loses them all: after the slot is FREE.  A store that starts anew makes the terms
            of a slot zero that holds no object; but one that found an object without its terms would take it for
            another one.
        terms: All of them; ``object.terms._replace(...)`` to change some.

    Returns:
        What is to be written: the words that change, which are none for most objects.
    """
    found = [SetTerm(object.slot, term, value) for term, value in changes(object.terms, terms)]
    object.terms = terms
    return found
