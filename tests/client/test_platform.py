"""Where there is no Linux, connecting says so; what other systems lack is not even imported."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
sys.platform = "darwin"
for name in ("fcntl", "resource", "ctypes", "mmap"):
    sys.modules[name] = None
import jupyter_shm as shm
try:
    shm.connect()
except shm.errors.UnsupportedPlatformError as error:
    print(error.reason, "darwin" in str(error), "container" in str(error))
"""


def test_connecting_on_another_system_is_a_clear_error():
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=False, capture_output=True, text=True, timeout=60)

    assert done.stdout == "unsupported-platform True True\n", done.stderr
