from __future__ import annotations

import json
import mmap
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from children import environment, eventually, run, start

from jupyter_shm.linux import maps, process
from jupyter_shm.linux.memory import HUGE

REPORT = textwrap.dedent("""
    import json, os, signal, sys
    print("on stderr", file=sys.stderr)
    facts = {
        "pid": os.getpid(), "sid": os.getsid(0), "parent": os.getppid(), "cwd": os.getcwd(),
        "stdin": os.readlink("/proc/self/fd/0"), "fds": [fd for fd in sorted(map(int, os.listdir("/proc/self/fd"))) if os.path.exists(f"/proc/self/fd/{fd}")],
        "environment": dict(os.environ), "arguments": sys.argv[1:],
        "blocked": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())],
        "child": signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL,
    }
    print(json.dumps(facts), flush=True)
""")


@pytest.fixture
def log(runtime_folder):
    return runtime_folder / "test.log"


def detached(log, pass_fds=(), env=None, arguments=()):
    """Run ``REPORT`` detached; what it found out about itself."""
    argv = [sys.executable, "-I", "-c", REPORT, *arguments]
    process.detach(argv, log=log, pass_fds=pass_fds, env={"A": "b"} if env is None else env)
    return facts_in(log)


def facts_in(log):
    eventually(lambda: "}\n" in log.read_text())
    facts = json.loads(next(line for line in log.read_text().splitlines() if line.startswith("{")))
    eventually(lambda: has_ended(facts["pid"]))
    return facts


def has_ended(pid):
    """Gone, or dead and waiting for init, which may take its time to look; a dead process has no command line."""
    try:
        return not Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_detached_process_is_its_own_session_and_not_our_child(log):
    facts = detached(log)

    assert facts["sid"] == facts["pid"]
    assert facts["sid"] != os.getsid(0)
    assert facts["parent"] != os.getpid()
    with pytest.raises(ChildProcessError):
        os.waitpid(facts["pid"], os.WNOHANG)


def test_a_detached_process_stands_on_neutral_ground(log):
    facts = detached(log, env={"ONLY": "this"}, arguments=["a b", "$HOME", ""])

    assert (facts["cwd"], facts["stdin"]) == ("/", os.devnull)
    assert facts["arguments"] == ["a b", "$HOME", ""]
    # LC_CTYPE is set by the interpreter itself in the C locale.
    assert {name: text for name, text in facts["environment"].items() if name != "LC_CTYPE"} == {"ONLY": "this"}


def test_both_outputs_are_appended_to_a_private_log(log):
    log.touch(0o600)
    log.write_text("before\n")

    detached(log)

    assert log.read_text().startswith("before\n")
    assert "on stderr\n" in log.read_text()


def test_a_new_log_is_private(log):
    detached(log)

    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_only_the_descriptors_that_are_passed_are_inherited(log, heap):
    os.set_inheritable(heap.fd, True)

    facts = detached(log, pass_fds=[heap.read_only])

    assert facts["fds"] == [0, 1, 2, heap.read_only]
    assert not os.get_inheritable(heap.read_only)


def test_a_program_that_does_not_exist_is_told_in_the_log(log):
    process.detach(["/no/such/program"], log=log, env={})

    eventually(lambda: "FileNotFoundError" in log.read_text())


def test_a_log_that_cannot_be_opened_is_an_oserror(log):
    with pytest.raises(FileNotFoundError):
        process.detach(["true"], log=log / "deeper", env={})


def test_detaching_works_beside_threads_with_signals_blocked(log):
    done = threading.Event()
    others = [threading.Thread(target=done.wait) for _ in range(3)]
    for thread in others:
        thread.start()
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
    try:
        facts = detached(log)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
        done.set()
        for thread in others:
            thread.join()

    assert facts["blocked"] == []


def reap_everything(*_):
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


@pytest.mark.parametrize("handler", [signal.SIG_IGN, reap_everything], ids=["ignored", "reaped by a handler"])
def test_detaching_works_whatever_the_caller_does_with_sigchld(log, handler):
    previous = signal.signal(signal.SIGCHLD, handler)
    try:
        facts = detached(log)
    finally:
        signal.signal(signal.SIGCHLD, previous)

    assert facts["child"] is True


def test_a_name_is_a_short_command_line():
    with start("import sys; sys.stdin.read()", "some", "arguments" * 20) as child:
        eventually(lambda: "import" in process.process_name(child.pid))
        name = process.process_name(child.pid)
        child.stdin.close()

    assert name.startswith(f"{Path(sys.executable).name} -c import sys")
    assert len(name) == 60
    assert name.endswith("…")


def test_control_characters_do_not_reach_a_message():
    with start("import sys\nsys.stdin.read()") as child:
        eventually(lambda: "import" in process.process_name(child.pid))
        name = process.process_name(child.pid)
        child.stdin.close()

    assert name == f"{Path(sys.executable).name} -c import sys sys.stdin.read()"


@pytest.mark.parametrize("pid", [0, -1, 2**31 - 1])
def test_a_process_that_is_not_there_is_named_by_its_pid(pid):
    assert process.process_name(pid) == f"pid {pid}"


def test_private_bytes_count_our_own_pages_and_not_the_shared_ones(heap):
    before = process.private_bytes()
    with mmap.mmap(-1, 4 * HUGE, flags=mmap.MAP_PRIVATE) as own:
        own[:] = b"x" * len(own)
        assert process.private_bytes() - before >= 4 * HUGE

    code = """
        import sys
        from jupyter_shm.linux import maps, process
        made = maps.map_shared(int(sys.argv[1]), 0, int(sys.argv[2]))
        before = process.private_bytes()
        sum(made.view[::4096])
        print(process.private_bytes() - before)
    """
    with maps.map_shared(heap.fd, 0, heap.nbytes, writable=True) as ours:
        ours.view[:] = b"x" * heap.nbytes  # mapped by two processes: shared
        status, grown = run(code, heap.read_only, heap.nbytes, pass_fds=[heap.read_only])

    assert status == 0
    assert int(grown) < heap.nbytes // 2


def test_private_bytes_of_a_process_that_is_gone_is_an_oserror():
    with pytest.raises(OSError, match="No such file"):
        process.private_bytes(2**31 - 1)


@pytest.mark.parametrize("pid", ["self", os.getpid()])
def test_descriptors_are_counted_without_the_one_for_counting(pid):
    before = process.descriptor_count(pid)
    with Path(os.devnull).open():
        assert process.descriptor_count(pid) == before + 1
    assert process.descriptor_count(pid) == before


def test_descriptors_of_another_process_are_counted():
    with start("import sys; sys.stdin.read()") as child:
        eventually(lambda: process.descriptor_count(child.pid) == 3)
        child.stdin.close()


def test_the_environment_of_children_finds_the_package():
    assert run("import jupyter_shm.linux.process; print('yes')") == (0, "yes")
    assert "PYTHONPATH" in environment()


def test_processes_that_have_a_file_open_are_found(tmp_path):
    path = tmp_path / "file"
    assert process.processes_with(path) == []

    with path.open("w") as file:
        assert process.processes_with(path) == [os.getpid()]
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=file) as other:
            assert sorted(process.processes_with(path)) == sorted([os.getpid(), other.pid])
    assert process.processes_with(path) == []


def test_a_process_is_known_by_the_module_that_it_runs():
    argv = [sys.executable, "-m", "timeit", "-n", "1", "import sys; sys.stdin.read()"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as child:
        eventually(lambda: process.is_running_module(child.pid, "timeit"))
        assert not process.is_running_module(child.pid, "time")
    assert not process.is_running_module(child.pid, "timeit"), "it is gone"


def test_a_process_can_take_a_name_for_people():
    code = "from jupyter_shm.linux.process import set_name; set_name('shm-test'); print(open('/proc/self/comm').read())"

    assert subprocess.check_output([sys.executable, "-c", code], env=environment()) == b"shm-test\n\n"
