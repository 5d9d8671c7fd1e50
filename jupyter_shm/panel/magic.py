"""%shm_panel.  What shows the panel is imported when it is shown."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.core.magic import line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import display

from ..client.store import Store
from ..family import Family
from ..invocation import parsed, unquoted

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .widget import Panel


@magics_class
class Panels(Family):
    """Show the store; its arguments are those of every ``Family``."""

    def __init__(self, shell: InteractiveShell, connect: Callable[[], Store]) -> None:
        super().__init__(shell, connect)
        self._panel: Panel | None = None

    @magic_arguments()
    @argument("--height", type=unquoted, default="", metavar="size", help="as in CSS: 300px, 20em")
    @line_magic
    @parsed
    def shm_panel(self, args: Namespace) -> Any:
        """Show what the store holds, live; `panel = %shm_panel` gives the panel instead.

        The same panel is shown again, so a cell may be run as often as one likes.
        """
        panel = self._shown(self._connect().name)
        if args.height:
            panel.height = args.height
        if args.assigned:
            return panel
        display(panel)
        return None

    def close(self) -> None:
        """Let go of the panel."""
        panel, self._panel = self._panel, None
        if panel is not None:
            panel.close()

    def _shown(self, store: str) -> Panel:
        if self._panel is None or self._panel.store != store or self._panel.comm is None:
            from .widget import Panel

            self.close()
            self._panel = Panel(store)
        return self._panel
