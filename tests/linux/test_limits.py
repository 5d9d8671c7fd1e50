from __future__ import annotations

import resource

import pytest
from children import run

from jupyter_shm.errors import SettingError
from jupyter_shm.linux import limits
from jupyter_shm.linux.memory import HUGE, PAGE

MIB, GIB = 1 << 20, 1 << 30
NO_LIMIT_OF_VERSION_1 = "9223372036854771712\n"


@pytest.fixture
def machine(tmp_path):
    """A root folder with a /proc and a /sys that the test fills."""

    def write(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def version_2(folder, limit, used=0, inactive=0, high="max"):
    base = f"sys/fs/cgroup{folder}"
    return {
        f"{base}/memory.max": f"{limit}\n",
        f"{base}/memory.high": f"{high}\n",
        f"{base}/memory.current": f"{used}\n",
        f"{base}/memory.stat": f"anon 5\nactive_file 7\ninactive_file {inactive}\nunevictable 0\n",
    }


def version_1(folder, limit, used=0, inactive=0):
    base = f"sys/fs/cgroup/memory{folder}"
    return {
        f"{base}/memory.limit_in_bytes": f"{limit}\n",
        f"{base}/memory.usage_in_bytes": f"{used}\n",
        f"{base}/memory.stat": f"cache 1\ninactive_file 3\ntotal_inactive_file {inactive}\n",
    }


def member(*lines):
    return {"proc/self/cgroup": "".join(line + "\n" for line in lines)}


def test_the_smallest_limit_of_all_groups_above_counts(machine):
    root = machine(
        member("0::/user/kernel")
        | version_2("/user/kernel", "max")
        | version_2("/user", 2 * GIB)
        | version_2("", "max")
    )

    assert limits.cgroup_limit(root) == 2 * GIB


def test_a_group_that_is_throttled_counts_as_limited(machine):
    root = machine(member("0::/a") | version_2("/a", 4 * GIB, high=3 * GIB, used=GIB))

    assert limits.cgroup_limit(root) == 3 * GIB
    assert limits.cgroup_room(root) == 2 * GIB


def test_no_limit_is_none(machine):
    root = machine(member("0::/a") | version_2("/a", "max"))

    assert limits.cgroup_limit(root) is None
    assert limits.cgroup_room(root) is None


def test_version_1_is_understood(machine):
    root = machine(
        member("7:cpu,cpuacct:/x", "4:cpuset,memory:/a/b", "0::/") | version_1("/a/b", GIB, 300 * MIB, 100 * MIB)
    )

    assert limits.cgroup_limit(root) == GIB
    assert limits.cgroup_room(root) == GIB - 200 * MIB


def test_version_1s_huge_number_is_no_limit(machine):
    root = machine(member("4:memory:/a") | version_1("/a", NO_LIMIT_OF_VERSION_1.strip()))

    assert limits.cgroup_limit(root) is None


@pytest.mark.parametrize("path", ["/docker/0123", "/../../docker/0123"])
def test_in_a_container_that_shows_the_hosts_path_its_own_top_counts(machine, path):
    root = machine(member(f"0::{path}") | version_2("", GIB, 200 * MIB))

    assert limits.cgroup_room(root) == GIB - 200 * MIB


def test_room_is_that_of_the_tightest_group_and_counts_droppable_file_pages(machine):
    root = machine(
        member("0::/a/b")
        | version_2("/a/b", 2 * GIB, used=100 * MIB)
        | version_2("/a", 4 * GIB, used=4 * GIB, inactive=300 * MIB)
    )

    assert limits.cgroup_limit(root) == 2 * GIB
    assert limits.cgroup_room(root) == 300 * MIB


def test_room_is_never_negative(machine):
    root = machine(member("0::/a") | version_2("/a", GIB, used=2 * GIB))

    assert limits.cgroup_room(root) == 0


def test_a_limit_that_changes_is_seen(machine):
    root = machine(member("0::/a") | version_2("/a", GIB))
    assert limits.cgroup_limit(root) == GIB

    machine(version_2("/a", 2 * GIB))

    assert limits.cgroup_limit(root) == 2 * GIB


def test_a_process_that_moves_to_another_group_is_bound_by_that(machine):
    root = machine(member("0::/a") | version_2("/a", GIB) | version_2("/b", 2 * GIB))
    assert limits.cgroup_limit(root) == GIB

    machine(member("0::/b"))

    assert limits.cgroup_limit(root) == 2 * GIB


def test_a_machine_without_cgroups_has_no_limit(tmp_path):
    assert limits.cgroup_limit(tmp_path) is None


def test_available_memory_is_the_machines_or_the_cgroups_room(machine):
    text = "MemTotal: 9000000 kB\nMemFree: 1 kB\nMemAvailable:    2048 kB\nSwapFree: 7 kB\n"
    root = machine({"proc/meminfo": text})
    assert limits.available_memory(root) == 2 * MIB

    machine(member("0::/a") | version_2("/a", MIB))

    assert limits.available_memory(root) == MIB


def test_this_machine_has_memory_and_some_of_it_is_available():
    assert 0 < limits.available_memory() <= limits.machine_memory()


def test_the_capacity_is_half_of_what_machine_and_cgroup_allow(machine):
    root = machine(member("0::/a") | version_2("/a", 64 * MIB))

    assert limits.default_capacity(root) == 32 * MIB
    machine(version_2("/a", "max"))
    assert abs(limits.default_capacity(root) - limits.machine_memory() / 2) < PAGE
    assert limits.default_capacity(root) % PAGE == 0


def test_the_heap_is_far_larger_than_memory():
    nbytes = limits.heap_nbytes()

    assert nbytes >= max(4 * limits.machine_memory(), 64 * GIB)
    assert nbytes.bit_count() == 1


def test_the_heap_stays_below_the_file_size_limit_and_can_be_made():
    code = f"""
        import resource
        from jupyter_shm.linux import limits, memory
        resource.setrlimit(resource.RLIMIT_FSIZE, ({GIB} + 5, {GIB} + 5))
        nbytes = limits.heap_nbytes()
        memory.create_memory("heap", nbytes)
        print(nbytes)
    """

    assert run(code) == (0, str(GIB - MIB))


def test_a_file_size_limit_that_leaves_no_heap_says_so():
    code = f"""
        import resource
        from jupyter_shm.errors import SettingError
        from jupyter_shm.linux import limits
        resource.setrlimit(resource.RLIMIT_FSIZE, ({MIB}, {MIB}))
        try:
            limits.heap_nbytes()
        except SettingError as error:
            print(error)
    """

    status, text = run(code)

    assert status == 0
    assert "RLIMIT_FSIZE" in text
    assert "1.0 MiB" in text
    assert "ulimit -f" in text


def test_the_descriptor_limit_is_the_one_in_force():
    assert limits.open_files_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        ("64MB", 64 * 10**6),
        ("64MiB", 64 * MIB),
        ("1.5 GB", 1_500_000_000),
        ("1.5 gib", 3 * GIB // 2),
        ("4096", 4096),
        (4096, 4096),
        ("12B", 12),
        (" 2 TiB ", 2 << 40),
    ],
)
def test_sizes_are_read(text, nbytes):
    assert limits.parse_size(text) == nbytes


@pytest.mark.parametrize("text", ["", "MB", "64M", "-1", "1,5 GB", "1e9", "64 apples", "1.GB", -1, True, "50%"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(SettingError):
        limits.parse_size(text)


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0 B"),
        (312, "312 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (MIB - 1, "1.0 MiB"),
        (3 * MIB // 2, "1.5 MiB"),
        (256 * MIB, "256.0 MiB"),
        (5 << 50, "5120.0 TiB"),
    ],
)
def test_sizes_are_shown_in_binary_units(nbytes, text):
    assert limits.format_size(nbytes) == text


def test_the_capacity_setting_is_read(monkeypatch):
    monkeypatch.delenv("JUPYTER_SHM_CAPACITY", raising=False)
    assert limits.capacity_setting() is None
    monkeypatch.setenv("JUPYTER_SHM_CAPACITY", "")
    assert limits.capacity_setting() is None
    monkeypatch.setenv("JUPYTER_SHM_CAPACITY", "2GiB")
    assert limits.capacity_setting() == 2 * GIB


@pytest.mark.parametrize("text", ["0", "much"])
def test_a_capacity_setting_that_is_wrong_is_named(monkeypatch, text):
    monkeypatch.setenv("JUPYTER_SHM_CAPACITY", text)

    with pytest.raises(SettingError, match="JUPYTER_SHM_CAPACITY"):
        limits.capacity_setting()


def test_the_reserve_is_five_percent_of_what_machine_and_cgroup_allow_but_half_a_gibibyte_at_most(machine):
    root = machine(member("0::/a") | version_2("/a", 400 * MIB))

    assert limits.default_reserve(root) == 20 * MIB
    machine(version_2("/a", 441 * MIB))
    assert limits.default_reserve(root) == 22 * MIB, "whole huge pages"
    machine(version_2("/a", "max"))
    assert limits.default_reserve(root) == min(limits.machine_memory() // 20, 512 * MIB) // HUGE * HUGE


def test_a_machine_that_is_too_small_has_no_reserve(machine):
    root = machine(member("0::/a") | version_2("/a", 39 * MIB))

    assert limits.default_reserve(root) == 0


@pytest.mark.parametrize(
    ("text", "nbytes"), [(None, None), ("", None), ("0", 0), (" 0 ", 0), ("512MiB", 512 * MIB), ("64MB", 64 * 10**6)]
)
def test_the_reserve_setting_is_read(monkeypatch, text, nbytes):
    monkeypatch.delenv("JUPYTER_SHM_RESERVE", raising=False)
    if text is not None:
        monkeypatch.setenv("JUPYTER_SHM_RESERVE", text)

    assert limits.reserve_setting() == nbytes


@pytest.mark.parametrize("text", ["much", "-1", "0.0MB"])
def test_a_reserve_setting_that_is_wrong_is_named_and_how_to_turn_it_off(monkeypatch, text):
    monkeypatch.setenv("JUPYTER_SHM_RESERVE", text)

    with pytest.raises(SettingError, match=r"JUPYTER_SHM_RESERVE \('0' turns it off\)"):
        limits.reserve_setting()


@pytest.mark.parametrize(("text", "seconds"), [(None, None), ("", None), ("90", 90.0), ("1h30m", 5400.0)])
def test_the_linger_setting_is_read(monkeypatch, text, seconds):
    monkeypatch.delenv("JUPYTER_SHM_LINGER", raising=False)
    if text is not None:
        monkeypatch.setenv("JUPYTER_SHM_LINGER", text)

    assert limits.linger_setting() == seconds


@pytest.mark.parametrize("text", ["0", "-1", "long"])
def test_a_linger_setting_that_is_wrong_is_named(monkeypatch, text):
    monkeypatch.setenv("JUPYTER_SHM_LINGER", text)

    with pytest.raises(SettingError, match="JUPYTER_SHM_LINGER is"):
        limits.linger_setting()
