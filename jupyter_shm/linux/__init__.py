"""Floor 1: what the package needs of Linux: memory, maps, packets with descriptors, the runtime folder, limits.

Imports the standard library, ``errors`` and ``sizes`` only; the store and the keeper load it too, so it stays light.
"""
