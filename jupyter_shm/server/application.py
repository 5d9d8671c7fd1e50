"""The extension as Jupyter Server knows it: name, settings, routes, and its end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jupyter_server.extension.application import ExtensionApp
from traitlets import Float, Unicode, default

from ..client.following import store_name
from ..panel.follower import PAUSE, Follower
from .audience import Audience
from .routes import ROUTES


class ShmExtensionApp(ExtensionApp):
    """Shows the store of this machine's user to the pages of a Jupyter server.

    Attributes:
        audience: The pages that look.
        executor: One thread for whatever may wait; it is started by its first use.
    """

    name = "jupyter_shm"
    extension_url = "/jupyter-shm/state"
    load_other_extensions = True

    store = Unicode(help="Name of the store; JUPYTER_SHM_STORE, else 'default', if it is not set.").tag(config=True)
    pause = Float(PAUSE, min=0.0, help="Seconds between two pushes to a page, at least.").tag(config=True)

    @default("store")
    def _default_store(self) -> str:
        return store_name()

    def initialize_handlers(self) -> None:
        """Offer the routes."""
        self.executor = ThreadPoolExecutor(1, thread_name_prefix="jupyter_shm")
        self.audience = Audience(lambda told: Follower(self.store, told, pause=self.pause), self.executor)
        self.handlers.extend(ROUTES)

    async def stop_extension(self) -> Any:
        """The server ends: wait for what has begun."""
        self.audience.close()
        self.executor.shutdown(wait=True)
