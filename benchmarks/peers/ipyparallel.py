"""ipyparallel: push to an engine, pull in another client."""

from __future__ import annotations

import os

from ipyparallel import Client, Cluster

from .peer import Array, Peer


class Pushed(Peer):
    """The engine keeps the array in a variable, and every client fetches a copy of it."""

    packages = ("ipyparallel",)

    def start(self, _capacity: int) -> str:
        os.environ["IPYTHONDIR"] = str(self.folder / "ipython")
        self._cluster = Cluster(n=1, profile_dir=str(self.folder / "profile"), log_level=40)
        self._client = self._cluster.start_and_connect_sync(activate=False)
        self._view = self._client[0]
        return self._cluster.cluster_id

    def join(self, address: str) -> None:
        self._client = Client(profile_dir=str(self.folder / "profile"), cluster_id=address)
        self._view = self._client[0]

    def stop(self) -> None:
        self._cluster.stop_cluster_sync()

    def put(self, array: Array, name: str) -> str:
        variable = name.replace("-", "_")
        self._view.push({variable: array}, block=True)
        return variable

    def get(self, opened: str) -> Array:
        return self._view.pull(opened, block=True)

    def delete(self, handle: str) -> None:
        self._view.execute(f"del {handle}", block=True)

    def tidy(self) -> None:
        self._client.purge_everything()


PEER = Pushed
