"""%shm_put: variables into the store."""

from __future__ import annotations

import numpy as np
import pytest

import jupyter_shm.errors as shm


def test_a_put_says_name_type_shape_and_size(shell, capsys):
    shell["arr"] = np.zeros((1000, 3))
    shell["text"] = "hello"

    shell.run("%shm_put arr text")

    assert capsys.readouterr().out.splitlines()[0] == "arr: numpy.ndarray, 1,000 \N{MULTIPLICATION SIGN} 3, 23.4 KiB"


def test_every_variable_is_published_under_its_name(shell):
    shell["a"], shell["b"] = np.arange(3), {"k": 1}

    shell.run("%shm_put a b\nimport jupyter_shm as shm")

    assert shell.run("shm.get('a').tolist(), shm.get('b')") == ([0, 1, 2], {"k": 1})


@pytest.mark.parametrize("name", ["other", "my-name", '"two words"'])
def test_a_variable_can_be_published_under_another_name(shell, name):
    shell["a"] = [1]

    shell.run(f"%shm_put a --name {name}\nimport jupyter_shm as shm")

    assert shell.run("shm.connect().keys()") == [name.strip('"')]


def test_an_overwrite_says_what_it_replaced(shell, capsys):
    shell["a"] = np.zeros(3)
    shell.run("%shm_put a")
    capsys.readouterr()

    shell.run("%shm_put a")

    line = capsys.readouterr().out
    assert line.startswith("a: numpy.ndarray, 3, 24 B; replaced version 1 of ")
    assert line.endswith(", whose readers keep the old bytes\n")


def test_no_overwrite_refuses_a_name_that_is_taken(shell):
    shell["a"] = 1
    shell.run("%shm_put a\na = 2")

    assert shell.fail("%shm_put a --no-overwrite").startswith("%shm_put: 'a' is published already (version 1,")
    assert shell.run("(lambda: get_ipython().run_line_magic('shm_get', 'a'))()") == 1


def test_rebind_makes_the_variable_the_stored_view(shell, capsys):
    shell["a"] = np.arange(3)
    shell["alias"] = shell["a"]

    shell.run("%shm_put a --rebind")

    assert capsys.readouterr().out.endswith("; a is now the stored, read-only view\n")
    assert shell["a"] is not shell["alias"]
    assert not shell["a"].flags.writeable
    assert shell["a"].tolist() == [0, 1, 2]


def test_a_put_without_rebind_leaves_the_variable_alone(shell):
    shell["a"] = array = np.arange(3)

    shell.run("%shm_put a")

    assert shell["a"] is array


def test_options_may_stand_anywhere(shell, capsys):
    shell["a"], shell["b"] = 1, 2

    shell.run("%shm_put --no-overwrite a --rebind b")

    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_local_variable_of_a_function_can_be_put(shell):
    shell.run("def publish():\n    inner = [1, 2]\n    %shm_put inner\npublish()")

    assert shell.run("x = %shm_get inner\nx") == [1, 2]


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("a+b", "'a+b' is no variable; for an expression use shm.put(a+b, 'name')"),
        ("a + b", "'+' is no variable; for an expression use shm.put(expr, 'name')"),
        ("a.real", "'a.real' is no variable; for an expression use shm.put(a.real, 'name')"),
        ("a[0]", "'a[0]' is no variable; for an expression use shm.put(a[0], 'name')"),
        ("'a'", "is no variable; for an expression use shm.put('a', 'name')"),
        ("class", "'class' is no variable"),
        ("arra", "there is no variable 'arra'; did you mean 'array'?"),
        ("nothing_like_it", "there is no variable 'nothing_like_it'"),
        ("a array --name x", "--name is for one variable, and there are 2"),
        ("a --name ''", "a name must have at least one character"),
        (f"a --name {'x' * 129}", "takes 129 bytes of UTF-8; the limit is 128"),
        ("a --tt 10m", "unrecognized arguments: --tt 10m. %shm_put? shows the usage."),
        ("a --ttl soon", "ttl is 'soon'; expected a number of seconds above 0"),
        ("", "the following arguments are required: variable. %shm_put? shows the usage."),
        ('"a', "No closing quotation. %shm_put? shows the usage."),
        ("lock", "lock"),
    ],
)
def test_a_mistake_is_one_line_and_publishes_nothing(shell, line, hint):
    shell.run("import threading, jupyter_shm as shm; a = 1; array = 2; lock = threading.Lock()")

    error = shell.fail(f"%shm_put {line}")

    assert error.startswith("%shm_put: ")
    assert hint in error
    assert shell.run("shm.connect().keys()") == []


def test_of_several_variables_none_is_published_when_one_does_not_exist(shell):
    shell.run("import jupyter_shm as shm; a = 1")

    shell.fail("%shm_put a missing")

    assert shell.run("shm.connect().keys()") == []


def test_rebind_refuses_a_local_variable_that_it_cannot_change(shell):
    shell.run("import jupyter_shm as shm\na = 1\ndef publish(a):\n    %shm_put a --rebind")

    assert "use a = shm.get('a')" in shell.fail("publish(a)")
    assert shell.run("shm.connect().keys()") == []


def test_a_full_store_is_one_line(shell):
    shell.run("import jupyter_shm as shm, numpy as np")
    shell.run("shm.connect().shutdown(); own = shm.connect(capacity='16MiB'); a = np.zeros(4 << 20)")

    with pytest.warns(shm.StoreLostWarning):
        assert "cannot put 'a'" in shell.fail("%shm_put a")

    shell.run("own.close()")
