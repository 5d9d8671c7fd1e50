from __future__ import annotations

import os
import select
import shutil
from pathlib import Path

import pytest

from jupyter_shm.linux.watch import FolderWatch


@pytest.fixture
def folder(runtime_folder):
    watched = runtime_folder / "watched"
    watched.mkdir()
    (watched / "there").write_text("")
    return watched


def is_readable(watch: FolderWatch) -> bool:
    return bool(select.select([watch], [], [], 0)[0])


def delete_a_file(folder):
    (folder / "there").unlink()


def move_a_file_away(folder):
    (folder / "there").rename(folder.parent / "elsewhere")


def rename_a_file(folder):
    (folder / "there").rename(folder / "renamed")


def delete_the_folder(folder):
    shutil.rmtree(folder)


def move_the_folder(folder):
    folder.rename(folder.parent / "elsewhere")


@pytest.mark.parametrize("vanish", [delete_a_file, move_a_file_away, rename_a_file, delete_the_folder, move_the_folder])
def test_what_vanishes_is_told_once(folder, vanish):
    with FolderWatch(folder) as watch:
        assert not watch.drain()

        vanish(folder)

        assert is_readable(watch)
        assert watch.drain()
        assert not watch.drain()


def test_what_comes_and_what_changes_is_not_told(folder):
    with FolderWatch(folder) as watch:
        (folder / "new").write_text("x")
        (folder / "there").write_text("x")
        (folder / "there").chmod(0o600)
        (folder / "there").read_text()

        assert not is_readable(watch)
        assert not watch.drain()


def test_a_flood_of_deletions_is_drained_in_one_call(folder):
    for number in range(500):
        (folder / f"file-with-a-rather-long-name-{number}").write_text("")

    with FolderWatch(folder) as watch:
        shutil.rmtree(folder)

        assert watch.drain()
        assert not is_readable(watch)


def test_a_folder_that_is_not_there_cannot_be_watched(folder):
    with pytest.raises(FileNotFoundError):
        FolderWatch(folder / "absent")
    with pytest.raises(NotADirectoryError):
        FolderWatch(folder / "there")


def test_the_descriptor_is_close_on_exec_and_closed_once(folder):
    watch = FolderWatch(folder)
    assert not os.get_inheritable(watch.fileno())

    watch.close()
    with Path(os.devnull).open():  # takes the number that is free again
        watch.close()

    assert watch.fileno() == -1


def make_a_file(folder):
    (folder / "new").write_text("")


def move_a_file_in(folder):
    (folder.parent / "new").write_text("")
    (folder.parent / "new").rename(folder / "new")


@pytest.mark.parametrize("change", [make_a_file, move_a_file_in, delete_a_file])
def test_what_appears_is_told_to_who_wants_to_know(folder, change):
    with FolderWatch(folder, appearing=True) as watch:
        assert not is_readable(watch)

        change(folder)

        assert is_readable(watch)
        assert watch.drain()
        assert not watch.drain()


@pytest.mark.parametrize("change", [make_a_file, move_a_file_in])
def test_what_appears_is_told_to_nobody_else(folder, change):
    with FolderWatch(folder) as watch:
        change(folder)

        assert not is_readable(watch)
