"""For tests of programs that use jupyter_shm, and for our own.  Nothing else in the package imports this."""
