"""What a store cannot do without.  Asked first of all, so this module can be imported on any platform."""

from __future__ import annotations

import errno
import os
import sys

from ..errors import UnsupportedPlatformError


def require_linux(platform_name: str = sys.platform) -> None:
    """Refuse to go on where a store cannot work.

    Args:
        platform_name: As ``sys.platform``.

    Raises:
        UnsupportedPlatformError: This is not Linux, or Linux or the C library have no memfd.
    """
    if platform_name != "linux":
        raise UnsupportedPlatformError(
            f"jupyter_shm shares memory between processes by means that only Linux has; this is {platform_name!r}."
            " On another system, run it inside a Linux container or WSL 2."
        )
    # Missing at compile time (an old C library) and refused at run time (an old kernel, a sandbox) are the same to us.
    reason = "this Python was built without it" if not hasattr(os, "memfd_create") else _memfd_refusal()
    if reason:
        raise UnsupportedPlatformError(
            f"memfd_create does not work here ({reason}; kernel {os.uname().release}), and a store lives in such a"
            " memory. It needs Linux 3.17 or later and a Python that was built against glibc 2.27 or later or musl."
        )


def _memfd_refusal() -> str:
    try:
        os.close(os.memfd_create("jupyter-shm-probe", os.MFD_CLOEXEC))
    except OSError as error:
        # Running out of descriptors is no property of the platform.
        return "" if error.errno in (errno.EMFILE, errno.ENFILE) else str(error.strerror)
    return ""
