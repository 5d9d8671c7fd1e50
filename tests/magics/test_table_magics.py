"""%shm_ls, %shm_info, %shm_rm, the `store` setting, and loading."""

from __future__ import annotations

import io

import numpy as np
import pytest

from jupyter_shm.client import default


@pytest.fixture
def filled(shell, capsys):
    shell["array"], shell["table"] = np.arange(6.0), {"k": 1}
    shell.run("%shm_put array table")
    capsys.readouterr()
    return shell


def test_ls_shows_a_table_and_leaves_nothing_in_out(filled, capsys):
    assert filled.run("%shm_ls") is None

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["name", "array", "table"]
    assert filled["Out"] == {}


def test_ls_takes_a_pattern(filled, capsys):
    filled.run("%shm_ls a*")

    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["name", "array"]


def test_ls_says_that_a_pattern_matches_nothing(filled, capsys):
    filled.run("%shm_ls q*")

    assert capsys.readouterr().out == "no published name matches 'q*'\n"


def test_ls_says_that_the_store_is_empty(shell, capsys):
    shell.run("%shm_ls")

    assert capsys.readouterr().out == "the store is empty\n"


def test_ls_and_info_can_be_assigned(filled, capsys):
    filled.run("found = %shm_ls a*\none = %shm_info table")

    assert capsys.readouterr().out == ""
    assert [info.name for info in filled["found"]] == ["array"]
    assert filled["one"].type == "dict"


def test_info_shows_what_is_known_of_an_object(filled, capsys):
    assert filled.run("%shm_info array") is None

    assert "all 48 B are shared" in capsys.readouterr().out
    assert filled["Out"] == {}


class Terminal(io.StringIO):
    """An output that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_rich_table(filled, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sys.stdout", terminal := Terminal())

    filled.run("%shm_ls")

    assert "\x1b[1mname" in terminal.getvalue()


def test_rm_deletes_and_says_who_keeps_the_bytes(filled, capsys):
    filled.run("view = %shm_get array\n%shm_rm array table array")

    assert capsys.readouterr().out == "deleted 'array'; 1 reader keeps its bytes\ndeleted 'table'\n"
    assert filled["view"].tolist() == [0, 1, 2, 3, 4, 5]


def test_rm_deletes_nothing_when_a_name_is_missing(filled):
    error = filled.fail("%shm_rm array nope table no")

    assert error == "%shm_rm: nothing is published under 'nope', 'no'; nothing was deleted"
    assert filled.run("import jupyter_shm as shm; shm.connect().keys()") == ["array", "table"]


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("%shm_ls a b", "%shm_ls: unrecognized arguments: b. %shm_ls? shows the usage."),
        ("%shm_info", "%shm_info: the following arguments are required: name"),
        ("%shm_info nope", "%shm_info: nothing is published under 'nope'"),
        ("%shm_rm", "%shm_rm: say what to delete: names, a pattern such as 'tmp*', or --all alone for every name"),
        ("%shm_rm --all array", "%shm_rm: say what to delete"),
        ("%shm_rm 'a*' nope", "%shm_rm: nothing is published under 'nope'; nothing was deleted"),
    ],
)
def test_a_mistake_is_one_line(filled, line, hint):
    assert filled.fail(line).startswith(hint)


# --- The setting ------------------------------------------------------------------------------------------------------


def test_the_store_can_be_set(filled, capsys):
    filled.run("%config JupyterShm.store = 'second'\n%shm_put array\n%config JupyterShm.store = ''\n%shm_rm array")

    assert filled.run("%config JupyterShm.store = 'second'\nx = %shm_get array\nx.tolist()") == [0, 1, 2, 3, 4, 5]


def test_a_store_name_that_cannot_be_one_is_one_line(filled):
    filled.run("%config JupyterShm.store = 'no good'")

    assert filled.fail("%shm_ls").startswith("%shm_ls: store name 'no good' cannot be used")


def test_another_connection_is_made_when_the_store_ended(filled, capsys):
    filled.run("import jupyter_shm as shm; shm.connect().shutdown(force=True)")

    with pytest.warns(Warning, match="connected to a new one"):
        filled.run("%shm_ls")

    assert capsys.readouterr().out == "the store is empty\n"


# --- Loading ----------------------------------------------------------------------------------------------------------

MAGICS = {"shm_put", "shm_get", "shm_ls", "shm_info", "shm_rm", "shm_pin", "shm_unpin", "shm_who", "shm_release"}
MAGICS |= {"shm_panel"}
FAMILIES = {"JupyterShm", "Grips", "Panels"}


def traces(ip):
    """All that loading leaves in an IPython."""
    return (
        sorted(name for name in ip.magics_manager.magics["line"] if name.startswith("shm")),
        sorted(type(one).__name__ for one in ip.configurables if type(one).__name__ in FAMILIES),
        [one for one in ip.Completer.custom_matchers if "jupyter_shm" in getattr(one, "__module__", "")],
        sorted(FAMILIES & set(ip.magics_manager.registry)),
    )


def test_loading_is_silent_and_brings_all_magics(shell, capsys):
    assert capsys.readouterr() == ("", "")
    assert traces(shell.ip)[0] == sorted(MAGICS)


def test_loading_twice_changes_nothing(shell):
    from jupyter_shm import load_ipython_extension

    before = traces(shell.ip)
    load_ipython_extension(shell.ip)

    assert traces(shell.ip) == before


def test_unloading_takes_everything_away(shell):
    shell.run("%unload_ext jupyter_shm")

    assert traces(shell.ip) == ([], [], [], [])


def test_reloading_leaves_one_of_everything(filled, capsys):
    filled.run("%reload_ext jupyter_shm\n%shm_ls a*")

    magics, configurables, matchers, registered = traces(filled.ip)
    assert set(magics) == MAGICS
    assert (configurables, len(matchers), registered) == (sorted(FAMILIES), 1, sorted(FAMILIES))
    assert "array" in capsys.readouterr().out


def test_unloading_leaves_what_somebody_else_has_registered_under_our_name(shell):
    shell.ip.register_magic_function(lambda line: line, magic_name="shm_ls")

    shell.run("%unload_ext jupyter_shm")

    assert traces(shell.ip)[0] == ["shm_ls"]


def test_unloading_before_loading_is_harmless(shell):
    from jupyter_shm import unload_ipython_extension

    unload_ipython_extension(shell.ip)
    unload_ipython_extension(shell.ip)


def test_loading_brings_the_store_silently(shell, runtime_folder, capsys):
    assert (runtime_folder / "default.sock").exists()
    assert capsys.readouterr() == ("", "")


def test_loading_where_no_store_can_be_had_says_so_in_one_line_and_brings_the_magics(monkeypatch, capsys, shell):
    shell.ip.run_line_magic("unload_ext", "jupyter_shm")
    default.default_store().close()
    monkeypatch.setenv("JUPYTER_SHM_STORE", "no/name")

    shell.ip.run_line_magic("load_ext", "jupyter_shm")

    assert capsys.readouterr().err.count("\n") == 1
    assert "shm_put" in shell.ip.magics_manager.magics["line"]


@pytest.mark.parametrize("magic", sorted(MAGICS))
def test_every_magic_has_a_help_that_says_how_it_is_used(shell, magic):
    text = shell.ip.magics_manager.magics["line"][magic].__doc__

    assert f"%{magic} " in text
    assert "arguments:" in text or "options:" in text
