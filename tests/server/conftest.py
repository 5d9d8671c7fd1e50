"""Fixtures of the face ``server``: a Jupyter server of the test's own, with the extension in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_jupyter.jupyter_server import *  # noqa: F403 - `pytest_plugins` would bring its event loop to every test

from jupyter_shm.client.store import Store


@pytest.fixture
def jp_server_config(request: pytest.FixtureRequest, runtime_folder: Path) -> dict[str, object]:
    """The extension, and no door left open; ``@pytest.mark.parametrize("jp_server_config", [Shut], indirect=True)``.

    The server and the test see the same store, or none.
    """
    server = {
        "jpserver_extensions": {"jupyter_shm": True, "jupyter_server_terminals": False},
        "allow_unauthenticated_access": False,
    }
    if hasattr(request, "param"):
        server["authorizer_class"] = request.param
    return {"ServerApp": server, "ShmExtensionApp": {"pause": 0.02}}


@pytest.fixture
def store(runtime_folder: Path) -> Iterator[Store]:
    """A connection to a store that ends with the test."""
    with Store(capacity="64MiB") as store:
        yield store
