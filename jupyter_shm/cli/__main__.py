"""``python -m jupyter_shm.cli``: the same as ``jupyter shm``, where that is not on PATH."""

from __future__ import annotations

import sys

from .command_line import main

sys.exit(main())
