"""The store's process: a pure core (events and time in, actions out) and the daemon that carries the actions out."""
