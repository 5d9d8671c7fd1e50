"""Workers: what runs in other processes of this machine, and how objects get there.  Loaded by who uses it."""
