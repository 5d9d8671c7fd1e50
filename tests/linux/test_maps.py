from __future__ import annotations

import ctypes
import errno
import gc
import os
import signal
import struct
from pathlib import Path

import numpy as np
import pytest
from children import run

from jupyter_shm.linux import libc, maps, memory
from jupyter_shm.linux.memory import HUGE, PAGE

SOME_FORGOTTEN = 70 * HUGE
"""Bytes: forgotten reservations or their ends add up to more, a heap that malloc reserves for a thread meanwhile (64 MiB) is less."""


def reserved() -> int:
    """Bytes of addresses that this process holds without access to them, where a forgotten reservation would show."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    ends = [line.split()[0].split("-") for line in lines if " ---p 00000000 00:00 0" in line]
    return sum(int(end, 16) - int(start, 16) for start, end in ends)


def flags_of(address: int) -> list[str]:
    """The kernel's flags of the map at ``address``: "dd" is "do not dump", "sh" shared."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    for line in lines:
        if line.startswith(f"{address:x}-"):
            return next(line for line in lines if line.startswith("VmFlags:")).split()[1:]
    raise AssertionError(f"nothing is mapped at {address:x}")


@pytest.mark.parametrize("offset", [0, PAGE, 3 * PAGE, HUGE - PAGE, HUGE, HUGE + 5 * PAGE])
@pytest.mark.parametrize("nbytes", [1, PAGE, 100_000, 3 * HUGE + 8])
@pytest.mark.parametrize("make", [maps.map_shared, maps.map_private])
def test_address_and_offset_agree_modulo_two_mebibytes(heap, make, offset, nbytes):
    with make(heap.read_only, offset, nbytes) as made:
        assert made.address % HUGE == offset % HUGE
        assert made.view.nbytes == nbytes


def test_a_closed_map_leaves_no_reservation_behind(heap):
    before = reserved()

    # Scattered, so that the spare ends before and after the map come in every size up to 2 MiB.
    for number in range(1000):
        maps.map_shared(heap.read_only, number * 97 % (HUGE // PAGE) * PAGE, PAGE).close()

    assert reserved() - before < SOME_FORGOTTEN


def test_a_reader_sees_what_a_writer_writes(heap):
    with (
        maps.map_shared(heap.fd, 3 * PAGE, 100, writable=True) as writer,
        maps.map_shared(heap.read_only, 0, heap.nbytes) as reader,
    ):
        writer.view[:5] = b"hello"

        assert bytes(reader.view[3 * PAGE : 3 * PAGE + 6]) == b"hello\0"
        assert os.pread(heap.fd, 5, 3 * PAGE) == b"hello"


def test_words_are_the_same_bytes_as_unsigned_64_bit_numbers(heap):
    with maps.map_shared(heap.fd, 0, PAGE, writable=True) as made:
        made.words[2] = 2**64 - 2

        assert made.words is made.words
        assert (made.words.format, made.words.nbytes) == ("Q", PAGE)
        assert bytes(made.view[16:24]) == b"\xfe" + b"\xff" * 7


def test_a_map_that_does_not_divide_into_words_has_none(heap):
    with maps.map_shared(heap.read_only, 0, 12) as made, pytest.raises(ValueError, match="multiple of 8"):
        _ = made.words


def test_a_read_only_view_refuses_to_be_written(heap):
    with maps.map_shared(heap.read_only, 0, PAGE) as made:
        assert made.view.readonly
        with pytest.raises(TypeError):
            made.view[0] = 1
        with pytest.raises(TypeError):
            made.words[0] = 1


def test_an_array_over_a_read_only_map_can_never_be_made_writable(heap):
    with maps.map_shared(heap.read_only, 0, PAGE) as made:
        array = np.frombuffer(made.view, np.uint8, 100, 50)

        assert not array.flags.writeable
        with pytest.raises(ValueError, match="cannot set WRITEABLE"):
            array.setflags(write=True)
        with pytest.raises(ValueError, match="cannot set WRITEABLE"):
            array[10:20].setflags(write=True)
        del array


def test_an_array_keeps_nothing_alive_but_a_memoryview(heap):
    made = maps.map_shared(heap.read_only, 0, PAGE)
    array = np.frombuffer(made.view, np.uint8, 100, 50)

    # numpy takes a memoryview of the memoryview; behind it must stand no owner that would unmap.
    assert not isinstance(array.base, np.ndarray)
    assert isinstance(array.base, memoryview)
    assert array.base.obj is None
    assert not [found for found in gc.get_referents(array.base) if isinstance(found, maps.Map)]
    del array
    made.close()


def test_writing_through_a_read_only_map_in_c_kills_the_process(heap):
    code = """
        import ctypes, sys
        from jupyter_shm.linux import maps
        made = maps.map_shared(int(sys.argv[1]), 0, 4096)
        print(ctypes.string_at(made.address, 1), flush=True)
        ctypes.memset(made.address, 1, 1)
        print("survived")
    """

    assert run(code, heap.read_only, pass_fds=[heap.read_only]) == (-signal.SIGSEGV, repr(b"\0"))
    assert os.pread(heap.fd, 1, 0) == b"\0"


def test_a_map_of_a_read_only_descriptor_cannot_be_made_writable_by_mprotect(heap):
    with maps.map_shared(heap.read_only, 0, PAGE) as made:
        mprotect = ctypes.CDLL(None, use_errno=True).mprotect

        answer = mprotect(
            ctypes.c_void_p(made.address), ctypes.c_size_t(PAGE), ctypes.c_int(libc.PROT_READ | libc.PROT_WRITE)
        )

        assert (answer, ctypes.get_errno()) == (-1, errno.EACCES)


def test_a_writable_map_of_a_read_only_descriptor_is_refused_and_reserves_nothing(heap):
    before = reserved()

    for _ in range(100):
        with pytest.raises(PermissionError):
            maps.map_shared(heap.read_only, 0, PAGE, writable=True)

    assert reserved() - before < SOME_FORGOTTEN


def test_writes_to_a_private_map_stay_in_it(heap):
    os.pwrite(heap.fd, b"original", 0)

    with maps.map_private(heap.read_only, 0, PAGE) as made:
        made.view[:8] = b"modified"

        assert bytes(made.view[:8]) == b"modified"
        assert os.pread(heap.fd, 8, 0) == b"original"


def test_a_writable_map_becomes_private_under_the_arrays_that_were_left_over(heap):
    made = maps.map_shared(heap.fd, PAGE, 100, writable=True)
    array = np.frombuffer(made.view, np.uint8)
    array[:] = 7

    made.become_private(heap.read_only)
    array[0] = 9

    assert array[:3].tolist() == [9, 7, 7]
    assert os.pread(heap.fd, 3, PAGE) == b"\7\7\7"
    del array
    made.close()


def test_a_sparse_heap_of_64_gib_is_mapped_whole_and_touches_no_page():
    fd = memory.create_memory("sparse", 64 << 30)

    with maps.map_shared(fd, 0, 64 << 30) as made:
        assert made.view.nbytes == 64 << 30
        assert memory.resident_bytes(fd) == 0
    os.close(fd)


def test_an_address_space_limit_is_enomem_and_the_reservation_is_given_back():
    code = f"""
        import errno, os, resource
        from jupyter_shm.linux import maps, memory
        fd = memory.create_memory("heap", {64 << 30})
        size = lambda: int(open("/proc/self/statm").read().split()[0]) * {PAGE}
        resource.setrlimit(resource.RLIMIT_AS, ({8 << 30}, {8 << 30}))
        before = size()
        for nbytes in {[64 << 30, 1 << 40]}:
            try:
                maps.map_shared(fd, 0, nbytes)
            except OSError as error:
                print(errno.errorcode[error.errno], size() - before < {1 << 20})
        with maps.map_shared(fd, 0, {1 << 30}) as made:
            print(made.view.nbytes)
    """

    assert run(code) == (0, f"ENOMEM True\nENOMEM True\n{1 << 30}")


def test_core_dumps_leave_maps_out_unless_asked(heap):
    with maps.map_shared(heap.read_only, 0, PAGE) as left_out, maps.map_shared(heap.fd, 0, PAGE, dump=True) as dumped:
        assert "dd" in flags_of(left_out.address)
        assert "dd" not in flags_of(dumped.address)


def test_closing_twice_unmaps_once(heap):
    first = maps.map_shared(heap.read_only, 0, PAGE)
    first.close()
    second = maps.map_shared(heap.read_only, 0, PAGE)  # the kernel likes to give the same address again

    first.close()

    assert bytes(second.view[:1]) == b"\0"
    second.close()


def test_a_closed_map_raises_instead_of_reading_addresses_that_are_gone(heap):
    made = maps.map_shared(heap.read_only, 0, PAGE)
    view, words = made.view, made.words

    made.close()

    assert made.address == 0
    for gone in (view, words):
        with pytest.raises(ValueError, match="released"):
            _ = gone[0]
    assert "closed" in repr(made)


@pytest.mark.parametrize("of", ["view", "words"])
def test_a_map_is_not_closed_under_a_consumer_that_holds_the_buffer(heap, of):
    made = maps.map_shared(heap.fd, 0, PAGE, writable=True)
    consumer = struct.iter_unpack("2s", getattr(made, of))

    with pytest.raises(BufferError):
        made.close()
    made.view[:2] = b"ok"

    assert next(consumer) == (b"ok",)
    assert made.words.nbytes == PAGE
    del consumer
    made.close()


@pytest.mark.parametrize(("offset", "nbytes"), [(1, PAGE), (-PAGE, PAGE), (0, 0), (0, -1)])
def test_a_range_that_cannot_be_mapped_is_refused(heap, offset, nbytes):
    with pytest.raises(ValueError, match="page size"):
        maps.map_shared(heap.read_only, offset, nbytes)


def test_views_of_ever_new_sizes_leave_nothing_behind(heap):
    before = len(gc.get_objects())

    for nbytes in range(1, 3000):
        maps.map_shared(heap.read_only, 0, nbytes).close()

    gc.collect()
    assert len(gc.get_objects()) - before < 500
