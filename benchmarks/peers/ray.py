"""Ray's object store: ``ray.put`` and ``ray.get``; another process is another driver of the same cluster."""

from __future__ import annotations

import base64
import os
import warnings

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_AUTH_MODE"] = "disabled"  # it listens on the loopback address only, and writes no token into HOME

import ray

from .peer import Array, Peer

LOOPBACK = "127.0.0.1"
QUIET = {"log_to_driver": False, "logging_level": "error"}


class Ray(Peer):
    """Refs travel pickled; making one of its pickle is not timed in a get, but in a hand-off."""

    packages = ("ray",)

    def __init__(self) -> None:
        self._told: set[ray.ObjectRef] = set()

    def start(self, capacity: int) -> str:
        warnings.simplefilter("ignore")
        ray.init(
            num_cpus=2,
            object_store_memory=capacity,
            include_dashboard=False,
            _node_ip_address=LOOPBACK,
            _temp_dir=str(self.folder / "ray"),
            **QUIET,
        )
        return ray.get_runtime_context().gcs_address

    def join(self, address: str) -> None:
        warnings.simplefilter("ignore")
        ray.init(address=address, _node_ip_address=LOOPBACK, **QUIET)

    def stop(self) -> None:
        ray.shutdown()

    def put(self, array: Array, _name: str) -> ray.ObjectRef:
        return ray.put(array)

    def key(self, handle: ray.ObjectRef) -> str:
        self._told.add(handle)
        return base64.b64encode(ray.cloudpickle.dumps(handle)).decode()

    def open(self, key: str) -> ray.ObjectRef:
        return ray.cloudpickle.loads(base64.b64decode(key))

    def get(self, opened: ray.ObjectRef) -> Array:
        return ray.get(opened)

    def delete(self, handle: ray.ObjectRef) -> None:
        # The object goes with its last ref.  One that was pickled keeps its object for ever, because nobody knows who
        # will unpickle it: here that is known, and without this the store would be full at once.
        if handle in self._told:
            self._told.remove(handle)
            core = ray._private.worker.global_worker.core_worker  # noqa: SLF001 - there is no public way
            core.remove_object_ref_reference(handle)


PEER = Ray
