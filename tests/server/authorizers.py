"""Who lets whom do what, for tests."""

from __future__ import annotations

from jupyter_server.auth import Authorizer


class ReadOnly(Authorizer):
    """Lets everybody look at the store, and do nothing to it."""

    def is_authorized(self, _handler, _user, action, resource) -> bool:
        return resource != "jupyter_shm" or action == "read"


class Shut(Authorizer):
    """Lets nobody near the store."""

    def is_authorized(self, _handler, _user, _action, resource) -> bool:
        return resource != "jupyter_shm"
