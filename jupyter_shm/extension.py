"""How IPython loads and unloads us: the magics of every face, and their completions."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .cells import Cells
from .completion import Completions
from .errors import ShmError
from .magics import JupyterShm
from .panel.magic import Panels
from .who import Grips

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load_ipython_extension(shell: InteractiveShell) -> None:
    """``%load_ext jupyter_shm``: brings the magics, and the store if it does not run.

    Loading twice changes nothing.
    """
    if JupyterShm.__name__ in shell.magics_manager.registry:
        return
    magics = JupyterShm(shell)
    families = (magics, Grips(shell, magics.connect), Cells(shell, magics.connect), Panels(shell, magics.connect))
    shell.register_magics(*families)
    # First, for IPython itself would offer files: it takes the names behind a magic for something of its own.
    known = {name: magic for family in families for kind in family.magics.values() for name, magic in kind.items()}
    completions = Completions(shell, known, lambda: magics.store)
    shell.Completer.custom_matchers.insert(0, completions.match)
    try:
        magics.connect()
    except ShmError as error:
        # The magics are there all the same, and each says this again: it may be mended meanwhile.
        print(f"jupyter_shm: {' '.join(str(error).split())}", file=sys.stderr)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """``%unload_ext jupyter_shm``.  Takes everything away that loading brought; views and stores stay."""
    registry, known = shell.magics_manager.registry, shell.magics_manager.magics
    magics = registry.get(JupyterShm.__name__)
    if magics is None:
        return
    registry[Panels.__name__].close()
    for family in (registry.pop(kind.__name__, None) for kind in (JupyterShm, Grips, Cells, Panels)):
        for where, magics_of_family in family.magics.items():
            for name, magic in magics_of_family.items():
                if known[where].get(name) == magic:
                    del known[where][name]
        shell.configurables.remove(family)
    matchers = shell.Completer.custom_matchers
    matchers[:] = [matcher for matcher in matchers if not isinstance(getattr(matcher, "__self__", None), Completions)]
    magics.disconnect()
