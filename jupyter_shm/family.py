"""What the families of magics beside the first one have in common: the store that they use is that one's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from IPython.core.magic import Magics

from .client.store import Store

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


class Family(Magics):
    """Magics that belong together.

    Args:
        shell: The IPython.
        connect: Gives the store that the magics use.
    """

    shell: InteractiveShell

    def __init__(self, shell: InteractiveShell, connect: Callable[[], Store]) -> None:
        super().__init__(shell)
        self._connect = connect
