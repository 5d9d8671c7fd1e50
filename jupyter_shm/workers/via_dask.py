"""By reference through Dask's workers on this machine.

Dask has two ways to send an object: arrays as they are, everything else, and every task, pickled.  Both are asked where the
message goes.  Its scheduler hands on what it does not read, to one worker or to all; so what stands for an array lasts some
minutes, however often it is read.  Whoever receives needs nothing but this package: what arrives is a pickle like others.
"""

from __future__ import annotations

import copyreg
import importlib
import io
import ipaddress
import os
import pickle
import threading
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any

import numpy as np

from .by_reference import copied, refer_to_array, towards, withdraw_lasting
from .reducers import Table, reducers

_table = Table()
_slot: Any = pickle.Pickler.dispatch_table
_mine: dict[type, Any] = {}  # reducers of pickles
_late = Table()  # fills it
_replaced: list[tuple[Any, str, Any]] = []
_context = threading.local()


def begin() -> None:
    """From now on."""
    serialize = importlib.import_module("distributed.protocol.serialize").dask_serialize
    theirs = serialize.dispatch(np.ndarray)
    _table.extend(serialize._lookup, {np.ndarray: _array_serializer(theirs)})  # noqa: SLF001 - to undo it
    pickling = importlib.import_module("distributed.protocol.pickle")
    _replace(pickling, "dumps", _pickling(pickling.dumps))
    for name in ("distributed.protocol.core", "distributed.protocol"):
        module = importlib.import_module(name)
        _replace(module, "dumps", _telling(module.dumps))


def end() -> None:
    """As it was before."""
    _table.restore()
    for owner, name, before in reversed(_replaced):
        setattr(owner, name, before)
    _replaced.clear()
    withdraw_lasting()


def is_here(context: dict[str, Any] | None) -> bool:
    """Does a message stay on this machine, whoever hands it on?

    Args:
        context: What Dask knows of its way; ``None``: it goes to the scheduler of this process's client.
    """
    if context is None:
        client = importlib.import_module("distributed.client")._get_global_client()  # noqa: SLF001 - makes none
        scheduler = getattr(client, "scheduler", None)
        return scheduler is not None and is_local(str(scheduler.address))
    return is_local(str(context.get("recipient", {}).get("address", "")))


def is_local(address: str) -> bool:
    """Can only processes of this machine be there?

    Args:
        address: As Dask writes it: ``tcp://127.0.0.1:8786``.
    """
    scheme, _, rest = address.partition("://")
    if scheme == "inproc":
        return rest.split("/")[1:2] == [str(os.getpid())]
    try:
        return ipaddress.ip_address(rest.rpartition(":")[0].strip("[]")).is_loopback
    except ValueError:
        return False


def _array_serializer(theirs: Any) -> Any:
    def serialize(array: np.ndarray[Any, Any], context: dict[str, Any] | None = None) -> tuple[Any, Any]:
        with copied(), towards(partial(is_here, context)):
            reduced = refer_to_array(array)
        if reduced is None:
            return theirs(array, context=context)  # type: ignore[no-any-return]
        # As an array of objects: any worker can read it.
        return {"pickle": True}, [pickle.dumps(_Rebuilt(reduced))]

    return serialize


class _Rebuilt:
    """Comes out of its pickle as what it was made of."""

    def __init__(self, reduced: Any) -> None:
        self._reduced = reduced

    def __reduce__(self) -> Any:
        return self._reduced


def _pickling(theirs: Any) -> Any:
    def dumps(x: object, *, buffer_callback: Any = None, protocol: int | None = pickle.HIGHEST_PROTOCOL) -> Any:
        context = getattr(_context, "now", None)
        if buffer_callback is not None and (protocol or 5) >= 5 and is_here(context):
            try:
                with copied():
                    data, buffers = _with_references(x)
            except Exception:  # theirs knows more ways
                return theirs(x, buffer_callback=buffer_callback, protocol=protocol)
            for buffer in buffers:
                buffer_callback(buffer)
            return data
        return theirs(x, buffer_callback=buffer_callback, protocol=protocol)

    return dumps


def _with_references(x: object) -> tuple[bytes, list[Any]]:
    """Pickle by the names of functions where that will do, by cloudpickle where a notebook's own are in it."""
    with suppress(Exception):  # a function that has no name
        data, buffers = _pickled(pickle.Pickler, x)
        if b"__main__" not in data:
            return data, buffers
    return _pickled(importlib.import_module("cloudpickle").Pickler, x)


def _pickled(kind: Any, x: object) -> tuple[bytes, list[Any]]:
    file, buffers = io.BytesIO(), list[Any]()
    pickler = kind(file, protocol=5, buffer_callback=buffers.append)
    if _late.is_late():
        _late.extend(_mine, reducers(5))
    table = {**getattr(pickler, "dispatch_table", copyreg.dispatch_table), **_mine}
    # Not as an attribute: cloudpickle's class has one of that name, which hides the one that the pickler looks at.
    _slot.__set__(pickler, table)
    pickler.dump(x)
    return file.getvalue(), buffers


def _telling(theirs: Any) -> Any:
    def dumps(msg: Any, *args: Any, context: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        before = getattr(_context, "now", None)
        _context.now = context
        try:
            with towards(partial(is_here, context)) if context is not None else nullcontext():
                return theirs(msg, *args, context=context, **kwargs)
        finally:
            _context.now = before

    return dumps


def _replace(owner: Any, name: str, ours: Any) -> None:
    _replaced.append((owner, name, getattr(owner, name)))
    setattr(owner, name, ours)
