from __future__ import annotations

import sys

import pytest
from children import ROOT, run

from jupyter_shm.linux import limits, machine, warming
from jupyter_shm.sizes import format_size

NAMES = [
    "platform",
    "python",
    "memfd_create",
    "seals",
    "read-only descriptors",
    "huge pages",
    "MADV_POPULATE_READ",
    "shmem_enabled",
    "membarrier",
    "machine memory",
    "cgroup limit",
    "default capacity",
    "warm reserve",
    "spill heap",
    "RLIMIT_AS",
    "RLIMIT_FSIZE",
    "RLIMIT_NOFILE",
    "/dev/shm",
    "runtime folder",
]


def test_every_fact_is_told_with_a_verdict_and_advice_where_it_is_not_good(runtime_folder):
    facts = machine.machine_facts()

    assert [fact.name for fact in facts] == NAMES
    for fact in facts:
        assert fact.value
        assert fact.verdict in ("ok", "warn", "bad")
        assert bool(fact.advice) == (fact.verdict != "ok"), fact


def test_what_a_store_cannot_do_without_works_here(runtime_folder):
    facts = {fact.name: fact.verdict for fact in machine.machine_facts()}

    assert facts["memfd_create"] == facts["seals"] == facts["read-only descriptors"] == "ok"
    assert facts["runtime folder"] == "ok"


def test_a_runtime_folder_open_to_others_is_bad_and_the_cure_is_told(runtime_folder):
    runtime_folder.chmod(0o755)

    (fact,) = [fact for fact in machine.machine_facts() if fact.name == "runtime folder"]

    assert fact.verdict == "bad"
    assert "chmod 700" in fact.advice


@pytest.mark.parametrize(
    ("limit", "value", "name", "verdict"),
    [
        ("RLIMIT_AS", 8 << 30, "RLIMIT_AS", "warn"),
        ("RLIMIT_FSIZE", 1 << 30, "RLIMIT_FSIZE", "warn"),
        ("RLIMIT_FSIZE", 1 << 20, "RLIMIT_FSIZE", "bad"),
        ("RLIMIT_FSIZE", 1 << 20, "memfd_create", "bad"),
        ("RLIMIT_NOFILE", 64, "RLIMIT_NOFILE", "warn"),
    ],
)
def test_a_limit_that_is_too_low_is_told(runtime_folder, limit, value, name, verdict):
    code = f"""
        import resource
        from jupyter_shm.linux import machine
        resource.setrlimit(resource.{limit}, ({value}, {value}))
        print(*[fact.verdict for fact in machine.machine_facts() if fact.name == "{name}"])
    """

    assert run(code) == (0, verdict)


def fact_named(name):
    (fact,) = [fact for fact in machine.machine_facts() if fact.name == name]
    return fact


def test_a_machine_with_huge_pages_says_by_which_way(runtime_folder):
    ways = warming.what_is_possible()
    if ways.advice:
        pytest.skip(f"no huge pages here: {ways.collapse}")

    fact = fact_named("huge pages")

    assert fact.verdict == "ok"
    assert fact.value == ("by MADV_HUGEPAGE" if ways.collapse else "by MADV_COLLAPSE")


def test_a_process_without_huge_pages_is_told_why_and_what_to_do(runtime_folder):
    code = """
        from jupyter_shm.linux import libc, machine
        libc.prctl(41, 1)  # PR_SET_THP_DISABLE
        (fact,) = [fact for fact in machine.machine_facts() if fact.name == "huge pages"]
        print(*fact, sep="|")
    """

    status, text = run(code)

    assert status == 0
    name, value, verdict, advice = text.split("|")
    assert (name, verdict) == ("huge pages", "warn")
    assert value.startswith("none (MADV_COLLAPSE: ")
    assert "PR_SET_THP_DISABLE" in advice


@pytest.mark.parametrize(
    ("setting", "value", "verdict"),
    [
        ("", f"{format_size(limits.default_reserve())} (default)", "ok"),
        ("64MiB", "64.0 MiB (JUPYTER_SHM_RESERVE)", "ok"),
        ("0", "off (JUPYTER_SHM_RESERVE)", "ok"),
        ("much", "refused", "bad"),
    ],
)
def test_the_size_of_the_reserve_is_told(runtime_folder, monkeypatch, setting, value, verdict):
    monkeypatch.setenv("JUPYTER_SHM_RESERVE", setting)

    fact = fact_named("warm reserve")

    assert (fact.value, fact.verdict) == (value, verdict)
    assert ("JUPYTER_SHM_RESERVE" in fact.advice) == (verdict == "bad")


def test_importing_the_floor_stays_light():
    # The keeper and the store load all of it.
    code = """
        import sys
        sys.argv = ["-m"]  # as Python has it while it looks for the store's module
        from jupyter_shm.linux import barrier, limits, machine, maps, memory, packets, process, runtime, warming, watch
        print(*sorted({"numpy", "asyncio", "cloudpickle", "msgspec", "multiprocessing"} & set(sys.modules)))
    """

    assert run(code) == (0, "")


def test_no_test_file_of_this_floor_is_forgotten():
    modules = {path.stem for path in (ROOT / "jupyter_shm" / "linux").glob("*.py")} - {"__init__", "libc"}
    tests = {path.stem.removeprefix("test_") for path in (ROOT / "tests" / "linux").glob("test_*.py")}

    assert modules <= tests
    assert sys.platform == "linux"
