"""Whom jupyter_shm is compared with: what each one needs, and where its class is.  Imports none of them.

The classes themselves are imported only inside a host process, by the interpreter of that peer's own environment.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .peer import Peer

US = "us"


@dataclass(frozen=True)
class Kind:
    """One way to share an array between processes.

    Args:
        name: Of the module here, of the requirements file, and for ``PEERS=``.
        title: For tables and plots.
        newest: The last Python that it can be installed on, where that is known.
        has_store: Does a process of its own answer for what is stored?
        starts: How often its first put is tried, each time in a store just started.
        is_raw: Does it hand over bytes, whose dtype and shape have to be known from elsewhere?
        lodges_with: In whose environment it runs, if not in one of its own.
    """

    name: str
    title: str
    newest: tuple[int, int] | None = None
    has_store: bool = True
    starts: int = 3
    is_raw: bool = False
    lodges_with: str = ""

    @property
    def environment(self) -> str:
        """Name of the environment, and of its requirements file."""
        return self.lodges_with or self.name

    def peer(self) -> Peer:
        """An instance of its class: needs its packages."""
        return import_module(f"{__name__}.{self.name}").PEER()


OURS = Kind(US, "jupyter_shm", starts=5)

PLOTTER = Kind("plot", "matplotlib for the plot", has_store=False)
"""No peer: an environment of its own like theirs, so that the benchmark asks nothing of the package's."""

OTHERS = {
    kind.name: kind
    for kind in (
        Kind("ray", "Ray", starts=2),
        Kind("plasma", "Plasma", newest=(3, 11)),
        Kind("plasmaraw", "Plasma, raw buffers", newest=(3, 11), is_raw=True, lodges_with="plasma"),
        Kind("vineyard", "Vineyard", newest=(3, 12)),
        Kind("vineyardraw", "Vineyard, raw blobs", newest=(3, 12), is_raw=True, lodges_with="vineyard"),
        Kind("stdlib", "multiprocessing.shared_memory", has_store=False),
        Kind("sharedarray", "SharedArray", has_store=False),
        Kind("npsave", "np.save in /dev/shm", has_store=False),
        Kind("joblib", "joblib in /dev/shm", has_store=False),
        Kind("dask", "Dask scatter", starts=2),
        Kind("ipyparallel", "ipyparallel", starts=2),
    )
}


def chosen(text: str) -> list[Kind]:
    """Those that somebody asked for.

    Args:
        text: ``"all"``, ``"none"``, or names between commas.

    Raises:
        ValueError: There is none of that name.
    """
    if text in ("", "all"):
        return list(OTHERS.values())
    names = [] if text == "none" else [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in OTHERS]
    if unknown:
        raise ValueError(f"no peer is called {', '.join(unknown)}; there are {', '.join(OTHERS)}, all and none")
    return [OTHERS[name] for name in names]
