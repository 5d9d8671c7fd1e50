from __future__ import annotations

import os

import pytest
from children import run

from jupyter_shm.errors import UnsupportedPlatformError
from jupyter_shm.linux import requirement


def test_linux_is_accepted():
    requirement.require_linux()


@pytest.mark.parametrize("name", ["darwin", "win32", "freebsd14"])
def test_another_platform_is_refused_by_name(name):
    with pytest.raises(UnsupportedPlatformError, match=name) as refused:
        requirement.require_linux(name)

    assert refused.value.reason == "unsupported-platform"


def test_linux_without_memfd_create_is_refused(monkeypatch):
    monkeypatch.delattr(os, "memfd_create")

    with pytest.raises(UnsupportedPlatformError, match="memfd_create"):
        requirement.require_linux()


def test_running_out_of_descriptors_is_not_taken_for_another_platform():
    code = """
        import resource
        from jupyter_shm.linux import requirement
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        requirement.require_linux()
        print("accepted")
    """

    assert run(code) == (0, "accepted")


def test_the_module_can_be_imported_where_linux_is_not():
    # What other systems lack is made impossible to import; require_linux must still be able to say why.
    code = """
        import sys
        sys.platform = "win32"
        for absent in ("fcntl", "resource", "ctypes"):
            sys.modules[absent] = None
        from jupyter_shm.linux import requirement
        try:
            requirement.require_linux("win32")
        except Exception as error:
            print(type(error).__name__)
    """

    assert run(code) == (0, "UnsupportedPlatformError")
