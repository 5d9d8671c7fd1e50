"""Fixtures of every test: a world of its own, and a count of what is left behind."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import browsers
import pytest
from leaks import KINDS, Holdings, kinds_to_check, leaked_since, report
from store_processes import NO_FOLDER, end_stores_of, settings_in, stores_left_of

if TYPE_CHECKING:
    from jupyter_shm.client.store import Store

FOLDERS = pytest.StashKey[list[Path]]()
HOME = pytest.StashKey[Path]()

RESERVE = "16MiB"
"""The warm reserve of every store here, unless a test says otherwise: small, for there are hundreds of them."""


# --- The world outside ------------------------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    """Hide the settings and profiles of the person who runs the tests."""
    config.stash[FOLDERS] = []
    config.stash[HOME] = home = Path(tempfile.mkdtemp(prefix="shm-home-", dir="/tmp"))
    for name in settings_in(os.environ):
        del os.environ[name]
    os.environ["JUPYTER_SHM_RUNTIME_DIR"] = NO_FOLDER
    os.environ["JUPYTER_SHM_RESERVE"] = RESERVE
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        os.environ[name] = str(home / name.lower())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a browser where something for it is missing; or end the run, where that is wanted."""
    found = [item for item in items if item.get_closest_marker("browser")]
    reason = browsers.what_is_missing() if found else ""
    if reason and browsers.is_required():
        raise pytest.UsageError(f"{browsers.REQUIRED}=required, and {reason}")
    for item in found if reason else ():
        item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish() -> None:
    """Take what imports have made out of every later collection: the check of each test then costs a millisecond."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the whole run if a store that a test started still lives."""
    living = [line for folder in session.config.stash[FOLDERS] for line in stores_left_of(folder).values()]
    if living:
        print("\nThese stores outlived the tests that started them:", *living, sep="\n  ")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[HOME], ignore_errors=True)


# --- What is left behind ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="session", autouse=True)
def event_loop_of_jupyter() -> Iterator[None]:
    """Close the event loop that jupyter_client keeps for a whole process, at the end."""
    try:
        from jupyter_core.utils import ensure_event_loop
    except ImportError:
        yield
        return
    yield
    ensure_event_loop().close()


@pytest.fixture(scope="module", autouse=True)
def event_loop_is_there(event_loop_of_jupyter: None) -> None:
    """Make that loop before anything is counted, or the first kernel would "leak" it.

    For each module: the fixtures of Jupyter's server close the loop that they find.
    """
    with contextlib.suppress(ImportError):
        from jupyter_core.utils import ensure_event_loop

        ensure_event_loop()


@pytest.fixture(autouse=True)
def nothing_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that ends with more descriptors, threads, children or segments than it began with."""
    mark = request.node.get_closest_marker("may_leak")
    kinds = kinds_to_check(*mark.args, **mark.kwargs) if mark else KINDS
    before = Holdings.now()
    yield
    if leaked := leaked_since(before, kinds):
        pytest.fail(report(leaked), pytrace=False)


@pytest.fixture(autouse=True, scope="module")
def what_a_module_has_imported_is_no_garbage() -> Iterator[None]:
    """Take it out of every later collection, as ``pytest_collection_finish`` does: each test would pay for it."""
    yield
    gc.collect()
    gc.freeze()


# --- Stores -----------------------------------------------------------------------------------------------------------


def reserve_of(request: pytest.FixtureRequest) -> str:
    """The warm reserve that a test wants for its stores: ``@pytest.mark.reserve("0")``."""
    mark = request.node.get_closest_marker("reserve")
    return mark.args[0] if mark else RESERVE


@pytest.fixture
def runtime_folder(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> Iterator[Path]:
    """A runtime folder for this test alone: its stores start here and are ended with it.

    Directly under /tmp, not in pytest's own folder: the path of a Unix socket holds 107 bytes.
    """
    folder = Path(tempfile.mkdtemp(prefix="shm-", dir="/tmp"))
    pytestconfig.stash[FOLDERS].append(folder)
    for name in settings_in(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.setenv("JUPYTER_SHM_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("JUPYTER_SHM_RESERVE", reserve_of(request))
    yield folder
    killed = end_stores_of(folder)
    shutil.rmtree(folder)
    if killed:
        pytest.fail("a store had to be killed:\n  " + "\n  ".join(killed), pytrace=False)


# --- The shipped fixtures ---------------------------------------------------------------------------------------------
# Of jupyter_shm.testing, which also users of the package have.  Imported inside: a test of a lower floor needs neither
# the client nor numpy.


@pytest.fixture
def private_store(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> Iterator[Store]:
    """A store of this test alone, connected; it ends with the test."""
    from jupyter_shm.testing.private import private_store

    monkeypatch.setenv("JUPYTER_SHM_RESERVE", reserve_of(request))
    with private_store() as store:
        pytestconfig.stash[FOLDERS].append(Path(os.environ["JUPYTER_SHM_RUNTIME_DIR"]))
        yield store
