"""One shared-memory object store for all notebooks and processes of this machine.

    import jupyter_shm as shm

    shm.put(array, "array")      # here
    shm.get("array")             # in any other process: the same physical pages, read-only

The client is loaded at once, so that the first call has not to wait for it; the magics and what shows tables are not.
The store's own process imports this package too, and loads nothing of all this: neither numpy nor anything slow.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client.default import (
        connect,
        delete,
        expire,
        get,
        info,
        list,  # noqa: A004 - a public name
        pin,
        put,
        stats,
        unpin,
        wait,
    )
    from .client.info import ObjectInfo, ObjectList, StoreStats
    from .client.refs import ObjectRef
    from .client.store import Store
    from .errors import ShmError
    from .extension import load_ipython_extension, unload_ipython_extension
    from .panel.widget import Panel
    from .workers.actors import kill, method
    from .workers.executor import Executor
    from .workers.integration import integrate
    from .workers.remote import as_completed, cancel, init, remote, shutdown

__version__ = "0.1.0"

_HOMES = {
    "connect": "client.default",
    "delete": "client.default",
    "expire": "client.default",
    "get": "client.default",
    "info": "client.default",
    "list": "client.default",
    "pin": "client.default",
    "put": "client.default",
    "stats": "client.default",
    "unpin": "client.default",
    "wait": "client.default",
    "ObjectInfo": "client.info",
    "ObjectList": "client.info",
    "StoreStats": "client.info",
    "ObjectRef": "client.refs",
    "Store": "client.store",
    "ShmError": "errors",
    "as_completed": "workers.remote",
    "cancel": "workers.remote",
    "init": "workers.remote",
    "kill": "workers.actors",
    "method": "workers.actors",
    "remote": "workers.remote",
    "shutdown": "workers.remote",
    "Executor": "workers.executor",
    "integrate": "workers.integration",
    "Panel": "panel.widget",
    "load_ipython_extension": "extension",
    "unload_ipython_extension": "extension",
}
"""Public name to the module that defines it."""

__all__ = [
    "Executor",
    "ObjectInfo",
    "ObjectList",
    "ObjectRef",
    "Panel",
    "ShmError",
    "Store",
    "StoreStats",
    "as_completed",
    "cancel",
    "connect",
    "delete",
    "errors",
    "expire",
    "get",
    "info",
    "init",
    "integrate",
    "kill",
    "list",
    "load_ipython_extension",
    "method",
    "pin",
    "put",
    "remote",
    "shutdown",
    "stats",
    "unload_ipython_extension",
    "unpin",
    "wait",
]


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module(f"{__name__}.errors")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> Any:
    return sorted({*globals(), *__all__})


def _jupyter_labextension_paths() -> Any:
    """Where Jupyter finds the built JupyterLab extension of an editable installation."""
    return [{"src": "labextension", "dest": "jupyter-shm"}]


def _jupyter_server_extension_points() -> Any:
    """What Jupyter Server loads: imported only there, it takes a second."""
    from .server.application import ShmExtensionApp

    return [{"module": "jupyter_shm", "app": ShmExtensionApp}]


def _load_client() -> None:
    """Load what nearly everybody needs, unless this is no place for it."""
    # ``python -m`` says "-m" here while it looks for its module: that of the store, which lies in this package.
    is_looking = getattr(sys, "argv", [""])[:1] == ["-m"]
    if sys.platform == "linux" and not is_looking:
        for name in ("connect", "put", "get", "Store", "ObjectRef"):
            __getattr__(name)


_load_client()
