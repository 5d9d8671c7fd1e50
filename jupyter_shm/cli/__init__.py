"""``jupyter shm``: the store from a terminal.

Verbs look, tidy up, start and stop; objects are put and got in Python.  Only ``start`` and ``demo`` ever start a store.
What takes long to import is imported by the verb that needs it.
"""

from __future__ import annotations

from .command_line import main

__all__ = ["main"]
