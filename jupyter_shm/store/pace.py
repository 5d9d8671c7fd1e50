"""How much the loop does at a time, and for how long it waits."""

from __future__ import annotations

import os

BATCH = 512
"""Packets taken from one socket at a time.  A queue holds fewer, so whatever was sent before a drain began is in."""

PAUSE = 0.002
"""Seconds between two times that the lease tables are looked at, if nobody waits: what one put after the other has
replaced is freed together."""

AWAKE = 50e-6 if len(os.sched_getaffinity(0)) > 1 else 0.0
"""Seconds for which the next packet is looked for before it is waited for: about what a wake-up takes."""

WIDE_AWAKE = 6 * AWAKE
"""The same, when the packet before came no longer ago: whoever puts one object after the other, of a megabyte perhaps,
does not have to wake the store each time.  A wake-up costs the waker up to 100 µs, where the processor is a virtual one."""

DRAIN_ROUNDS = 8
"""Times that a drain asks for ready sockets; one answer names 1,023 of them at most, and there are up to 4,096."""
