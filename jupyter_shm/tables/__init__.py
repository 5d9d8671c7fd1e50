"""Index and lease tables as functions over a buffer: bytes in, facts out.  No I/O here.

Every word that another process may read is read and written as one aligned item of ``memoryview.cast("Q")``:
CPython stores it with one instruction, so a reader sees the old or the new word, and a SIGKILL leaves no third.
Never ``struct.pack_into``: it zeroes its target first, and another process can read that zero.
"""
