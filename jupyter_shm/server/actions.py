"""What a page may do to the store: pin, unpin and delete exactly what it shows.  It may wait: call it in a thread."""

from __future__ import annotations

from ..client.refs import ObjectRef
from ..client.store import Store
from ..errors import ObjectNotFoundError


def set_pin(store: str, incarnation: int, id: int, is_pinned: bool) -> None:
    """Pin an object, or take the pin away; arguments and errors as ``delete``."""
    with Store(store, start=False) as connected:
        ref = _meant(connected, incarnation, id)
        (connected.pin if is_pinned else connected.unpin)(ref)


def delete(store: str, incarnation: int, id: int) -> None:
    """Take away the name of an object.

    Args:
        store: Name of the store.
        incarnation: Id of the store in which the page saw the object.
        id: Of the object: what was published under its name afterwards stays.

    Raises:
        FileNotFoundError: The store does not run.
        ObjectNotFoundError: It has no such object any more.
        ShmError: As the calls of ``Store``.
    """
    with Store(store, start=False) as connected:
        connected.delete(_meant(connected, incarnation, id))


def _meant(store: Store, incarnation: int, id: int) -> ObjectRef:
    if incarnation != store.session.welcome.store:
        raise ObjectNotFoundError(f"the store {store.name!r} that held object {id} has ended, and another one runs")
    return ObjectRef(incarnation, id, "", 0)
