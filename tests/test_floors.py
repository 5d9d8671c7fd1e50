"""Folders are floors: imports point down only, and what is pure stays pure.

Read from the source, so an import counts wherever it stands: in a function, under TYPE_CHECKING, relative or not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parent.parent
PACKAGE = HOUSE / "jupyter_shm"

GROUND = {"errors", "sizes", "durations"}
"""Words that every floor speaks; they may import each other only downwards, in this order."""

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "sizes": {"errors"},
    "durations": {"errors"},
    "protocol": GROUND,
    "tables": GROUND,
    "serial": GROUND,
    "linux": GROUND,
    "store": {"protocol", "tables", "linux"} | GROUND,
    # Never store: they meet on the socket and in shared memory only.
    "client": {"protocol", "tables", "serial", "linux"} | GROUND,
    "workers": {"serial", "linux", "client"} | GROUND,
    # What the faces of a notebook share.
    "invocation": GROUND,
    "family": {"client"} | GROUND,
    "grip": {"client"} | GROUND,
    # The faces never import each other.
    "magics": {"client", "workers", "family", "grip", "invocation"} | GROUND,
    "panel": {"client", "family", "grip", "invocation"} | GROUND,
    # One feed for both pages; FOR_ALL_PAGES says what of the panel that is.
    "server": {"client", "panel"} | GROUND,
    "cli": {"linux", "client"} | GROUND,
    # Nobody imports testing.
    "testing": {"protocol", "linux", "client", "workers"} | GROUND,
    # What IPython loads: the magics of every face.
    "extension": {"magics", "panel"} | GROUND,
    # The package itself hands out names of the client and of the panel, and loads the rest when IPython
    # or Jupyter Server asks for it.
    "__init__": {"client", "workers", "extension", "panel", "server"} | GROUND,
}

FACE_OF = dict.fromkeys(("cells", "completion", "who"), "magics") | dict.fromkeys(("places", "reach"), "grip")
"""Files beside a face that are a part of it: one floor, as the files of one folder are."""

FOR_ALL_PAGES = {"feed", "follower", "preview"}
"""The files of panel/ that the server may import: they know neither IPython nor ipywidgets."""

WITH_IO = {
    *("os", "io", "pathlib", "tempfile", "shutil", "fcntl", "mmap", "resource"),
    *("socket", "select", "selectors", "asyncio", "subprocess", "signal", "multiprocessing", "concurrent"),
    *("time", "threading", "random", "secrets", "logging"),
}
"""Modules by which the outside world, or the time of day, gets into code that should be told about both."""

IMPURE_STORE_FILES = {
    "__main__",
    "assembly",
    "attendants",
    "crash_points",
    "daemon",
    "doorway",
    "entrance",
    "heating",
    "keeper",
    "lifeline",
    "offspring",
    "overflow",
    "pace",
    "peers",
    "regions",
    "spiller",
    "spill",
    "succession",
    "vault",
    "warmer",
    "writes",
}
"""The files of store/ that may do I/O.  Every other one, a new one too, takes events and time and returns actions."""

PURE: dict[str, set[str]] = {
    "protocol": WITH_IO | {"ctypes"},
    "tables": WITH_IO | {"ctypes"},
    # Pickle writes into a file object, and io.BytesIO is one that no disk knows of.
    "serial": WITH_IO - {"io"},
    "store": WITH_IO | {"ctypes", "jupyter_shm.linux"},
    "workers/graph": WITH_IO | {"ctypes", "jupyter_shm.linux"},
    "panel/feed": WITH_IO | {"ctypes"},
    "panel/preview": WITH_IO | {"ctypes"},
    "panel/audience": WITH_IO | {"ctypes"},
}
"""What the pure floors may not import."""

UNKNOWING = {"errors", "sizes", "durations", "protocol", "tables", "linux", "store"}
"""Floors of the store process: it keeps bytes that it cannot read, and starts in milliseconds."""

BYTES_TO_OBJECTS = {"numpy", "cloudpickle", "pickle", "marshal", "pandas", "pyarrow"}

CATCH_ALL = {"util", "utils", "helper", "helpers", "common", "handlers", "misc", "tools"}
MAX_LINES = 500


# --- Reading imports --------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def nothing_leaks() -> None:
    """Instead of the fixture that counts: these read texts, and there are more than a thousand of them."""


def modules_of(root: Path) -> list[str]:
    """Paths of a package's files as text, without the suffix: ``client/views``, ``cli``, ``__init__``."""
    return sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.py"))


def imports(source: str, module: str) -> Iterator[str]:
    """Every name that a file imports, absolute: ``jupyter_shm.client.views.View``, ``os.path``.

    Args:
        source: The text of the file.
        module: Where it stands in the package, as ``modules_of`` writes it.
    """
    package = ["jupyter_shm", *module.split("/")[:-1]]
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=origin, names=names, level=level):
                base = package[: len(package) - level + 1] if level else []
                yield from (".".join([*base, *filter(None, [origin]), alias.name]) for alias in names)
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                dots = len(name) - len(name.lstrip("."))
                yield ".".join([*package[: len(package) - dots + 1], name[dots:]]) if dots else name


def floor_of(module: str) -> str:
    """The floor of a file, given as ``client/views``, or of a name below the package, as ``client``."""
    first = module.partition("/")[0]
    return FACE_OF.get(first, first)


def floors_imported(source: str, module: str) -> set[str]:
    """The floors that a file imports, its own left out.

    A name that is no floor was taken from the package itself, ``from .. import put``: it is reported as ``__init__``,
    because it may come from anywhere.  ``__version__`` alone comes from there.
    """
    found = set()
    for name in imports(source, module):
        first, *rest = name.split(".")
        if first == "jupyter_shm" and rest != ["__version__"]:
            floor = floor_of(rest[0]) if rest else "__init__"
            found.add(floor if floor in MAY_IMPORT else "__init__")
    return found - {floor_of(module)}


def forbidden_imports(source: str, module: str, forbidden: set[str]) -> set[str]:
    """Which of ``forbidden`` a file imports, them or anything inside them."""
    return {bad for name in imports(source, module) for bad in forbidden if f"{name}.".startswith(f"{bad}.")}


def purity_of(module: str) -> set[str]:
    """The modules that this file may not import because it is pure; empty where it is not."""
    if floor_of(module) == "store" and module.rpartition("/")[2] in IMPURE_STORE_FILES:
        return set()
    return PURE.get(module, PURE.get(floor_of(module), set()))


# --- The promises -----------------------------------------------------------------------------------------------------

MODULES = modules_of(PACKAGE)
OURS = sorted(
    path.relative_to(HOUSE).as_posix()
    for folder in ("jupyter_shm", "tests", "tools", "benchmarks", "notebooks")
    for path in (HOUSE / folder).rglob("*.py")
)


def source_of(module: str) -> str:
    return (PACKAGE / f"{module}.py").read_text()


@pytest.mark.parametrize("module", MODULES)
def test_a_file_stands_on_a_known_floor(module: str):
    assert floor_of(module) in MAY_IMPORT, "write into MAY_IMPORT what the new floor may import, and into CONTRIBUTING"


@pytest.mark.parametrize("module", MODULES)
def test_a_file_imports_only_lower_floors(module: str):
    assert floors_imported(source_of(module), module) <= MAY_IMPORT[floor_of(module)]


def test_the_server_takes_from_the_panel_only_what_is_for_all_pages():
    files = [module for module in MODULES if floor_of(module) == "server"]
    taken = {name.split(".")[2] for module in files for name in imports(source_of(module), module) if ".panel." in name}

    assert taken <= FOR_ALL_PAGES


@pytest.mark.parametrize("module", [f"panel/{name}" for name in sorted({*FOR_ALL_PAGES, "__init__"})])
def test_what_is_for_all_pages_imports_no_notebook(module: str):
    heavy = {
        "IPython",
        "ipywidgets",
        "anywidget",
        "traitlets",
        *(f"jupyter_shm.{one}" for one in ("grip", "invocation")),
    }
    own = {f"jupyter_shm.panel.{name}" for name in ("widget", "magic", "deeds")}

    assert forbidden_imports(source_of(module), module, heavy | own) == set()


@pytest.mark.parametrize("module", [module for module in MODULES if purity_of(module)])
def test_a_pure_file_does_no_io_and_reads_no_clock(module: str):
    assert forbidden_imports(source_of(module), module, purity_of(module)) == set()


@pytest.mark.parametrize("module", [module for module in MODULES if floor_of(module) in UNKNOWING])
def test_the_store_never_reads_what_it_keeps(module: str):
    assert forbidden_imports(source_of(module), module, BYTES_TO_OBJECTS) == set()


@pytest.mark.parametrize("path", OURS)
def test_a_file_is_short_enough_to_be_read(path: str):
    lines = len((HOUSE / path).read_text().splitlines())

    assert lines <= MAX_LINES, f"{lines} lines: split it where its docstring needs an 'and'"


@pytest.mark.parametrize("path", OURS)
def test_a_file_is_named_after_what_it_is(path: str):
    words = {part.removesuffix(".py").strip("_").lower() for part in Path(path).parts[1:]}

    assert not words & CATCH_ALL, "a name that fits everything attracts everything"


# --- The test of the test ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "line", "floors"),
    [
        ("client/views", "from ..store import daemon", {"store"}),
        ("client/views", "from ..store.daemon import run", {"store"}),
        ("client/views", "from .. import store", {"store"}),
        ("client/views", "from .. import errors", {"errors"}),
        ("client/views", "from .. import put", {"__init__"}),
        ("client/views", "from jupyter_shm import put", {"__init__"}),
        ("client/views", "from .. import __version__", set()),
        ("client/views", "import jupyter_shm", {"__init__"}),
        ("client/views", "import jupyter_shm.store.core as c", {"store"}),
        ("client/views", "import os, jupyter_shm.store", {"store"}),
        ("client/views", "from jupyter_shm.store import core", {"store"}),
        ("client/views", "if TYPE_CHECKING:\n    from ..store import core", {"store"}),
        ("client/views", "def late():\n    from ..store import core", {"store"}),
        ("client/views", "importlib.import_module('jupyter_shm.store')", {"store"}),
        ("client/views", "import_module('..store.core', __package__)", {"store"}),
        ("client/views", "from . import leases", set()),
        ("client/views", "from .leases import Leases", set()),
        ("client/deep/views", "from ...store import core", {"store"}),
        ("client/deep/views", "from .. import leases", set()),
        ("client/__init__", "from ..store import core", {"store"}),
        ("magics", "from .cli import main", {"cli"}),
        ("magics", "from . import cli", {"cli"}),
        ("magics", "from .completion import Completions", set()),
        ("completion", "from .magics import JupyterShm", set()),
        ("reach", "from .grip import Grip", set()),
        ("panel/widget", "from ..grip import release", {"grip"}),
        ("cli", "from .completion import Completions", {"magics"}),
        ("cli", "from .store import daemon", {"store"}),
        ("__init__", "from .store import core", {"store"}),
        ("__init__", "from . import testing", {"testing"}),
        ("linux/maps", "import jupyter_shm_other.store", set()),
    ],
)
def test_an_import_is_seen_however_it_is_written(module: str, line: str, floors: set[str]):
    assert floors_imported(line, module) == floors


@pytest.mark.parametrize(
    ("module", "line", "found"),
    [
        ("store/core", "import time", {"time"}),
        ("store/core", "from os import path", {"os"}),
        ("store/core", "import os.path", {"os"}),
        ("store/core", "from concurrent.futures import Future", {"concurrent"}),
        ("store/core", "from ..linux import maps", {"jupyter_shm.linux"}),
        ("store/new_file", "import socket", {"socket"}),
        ("store/daemon", "import socket", set()),
        ("protocol/wire", "import ctypes", {"ctypes"}),
        ("tables/index", "from ctypes import c_int", {"ctypes"}),
        ("serial/pack", "import io, sys, pickle", set()),
        ("serial/pack", "import mmap", {"mmap"}),
        ("workers/graph", "import threading", {"threading"}),
        ("workers/engines", "import threading", set()),
        ("store/core", "from collections import deque", set()),
        ("store/core", "import timeit_of_ours", set()),
    ],
)
def test_impurity_is_seen_however_it_is_written(module: str, line: str, found: set[str]):
    assert forbidden_imports(line, module, purity_of(module)) == found


def test_a_bad_file_in_a_whole_package_is_caught(tmp_path: Path):
    (tmp_path / "client").mkdir()
    (tmp_path / "client" / "good.py").write_text("from ..protocol import wire\n")
    (tmp_path / "client" / "bad.py").write_text("from __future__ import annotations\nfrom ..store import daemon\n")

    caught = [
        module
        for module in modules_of(tmp_path)
        if not floors_imported((tmp_path / f"{module}.py").read_text(), module) <= MAY_IMPORT[floor_of(module)]
    ]

    assert caught == ["client/bad"]


def test_the_floors_have_no_way_up_again():
    seen: dict[str, set[str]] = {}

    def below(floor: str) -> set[str]:
        if floor not in seen:
            seen[floor] = set()
            seen[floor] = MAY_IMPORT[floor].union(*map(below, MAY_IMPORT[floor]))
        return seen[floor]

    assert [floor for floor in MAY_IMPORT if floor in below(floor)] == []
