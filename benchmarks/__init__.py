"""What jupyter_shm costs, measured through real processes.  Asserts results, never times."""
