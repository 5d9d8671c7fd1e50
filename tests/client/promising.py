"""What the tests of promises share: a process that has promised an object, and how a reference gets to another one."""

from __future__ import annotations

import pickle
from pathlib import Path

TAKE = "import pickle, gc; ref = pickle.loads(bytes.fromhex({!r}))"
MAKER = """
    import pickle
    from jupyter_shm.client.pending import fail, forward, fulfil, pend
    session = store._session
    ref = pend(session)
    pickle.dumps(ref)
"""


def hand(peer, ref):
    """Let another process have a reference, as ``ref``."""
    peer(TAKE.format(pickle.dumps(ref).hex()))


def all_sleep(pid):
    """Do all threads of a process wait for something?"""
    return all(
        (task / "stat").read_text().rpartition(")")[2].split()[0] == "S" for task in Path(f"/proc/{pid}/task").iterdir()
    )
