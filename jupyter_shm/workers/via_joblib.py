"""By reference through loky and joblib, which has a loky of its own.

joblib writes large arrays to files in a folder of its own, and has a reducer for each of its pools that does.  What lives
in the store is not written anywhere: ours is asked first.
"""

from __future__ import annotations

import importlib
import pickle
from importlib.util import find_spec
from typing import Any

import numpy as np

from .by_reference import message, refer_to_array
from .reducers import Table, reducers

_table = Table()
_replaced: list[tuple[Any, str, Any]] = []


_reductions: list[Any] = []


def begin() -> None:
    """From now on; pools of joblib that exist already send by reference, and are sent bytes."""
    for package in ("loky", "joblib.externals.loky"):
        if find_spec(package.partition(".")[0]):
            reduction = importlib.import_module(f"{package}.backend.reduction")
            _reductions.append(reduction)
            _replace(reduction, "dump", _as_message(reduction.dump))
    _fill()
    if find_spec("joblib"):
        memmapping = importlib.import_module("joblib._memmapping_reducer")
        forward = memmapping.ArrayMemmapForwardReducer
        _replace(forward, "__call__", _first_of_ours(forward.__call__))
        _replace(memmapping, "reduce_array_memmap_backward", reduce_result)


def end() -> None:
    """As it was before."""
    _table.restore()
    for owner, name, before in _replaced:
        setattr(owner, name, before)
    _replaced.clear()
    _reductions.clear()


def reduce_result(array: np.ndarray[Any, Any]) -> Any:
    """Take an array apart that a worker of joblib sends back; the worker finds this function by its name."""
    theirs = importlib.import_module("joblib._memmapping_reducer")
    known = {name: before for _, name, before in _replaced}
    plain = known.get("reduce_array_memmap_backward", theirs.reduce_array_memmap_backward)
    return refer_to_array(array) or plain(array)


def _fill() -> None:
    for reduction in _reductions:
        _table.extend(reduction._dispatch_table, reducers(pickle.HIGHEST_PROTOCOL))  # noqa: SLF001 - to undo it


def _replace(owner: Any, name: str, ours: Any) -> None:
    _replaced.append((owner, name, getattr(owner, name)))
    setattr(owner, name, ours)


def _as_message(theirs: Any) -> Any:
    def dump(*args: Any, **kwargs: Any) -> None:
        if _table.is_late():
            _fill()
        with message():
            theirs(*args, **kwargs)

    return dump


def _first_of_ours(theirs: Any) -> Any:
    def reduce(self: Any, array: np.ndarray[Any, Any]) -> Any:
        return refer_to_array(array) or theirs(self, array)

    return reduce
