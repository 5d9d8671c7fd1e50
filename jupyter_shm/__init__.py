"""One shared-memory object store for all notebooks and processes of this machine.

Names are loaded when first used: the store's own process imports this package too, and must not load numpy.
"""

from __future__ import annotations

__version__ = "0.1.0"
