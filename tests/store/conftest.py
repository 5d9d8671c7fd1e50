"""Fixtures of the floor ``store``: one without a process, and clients of it."""

from __future__ import annotations

import pytest
from pure_store import PureClient, PureStore


@pytest.fixture
def store() -> PureStore:
    return PureStore()


@pytest.fixture
def client(store: PureStore) -> PureClient:
    return store.connect()


@pytest.fixture
def other(store: PureStore) -> PureClient:
    return store.connect("other.ipynb")
