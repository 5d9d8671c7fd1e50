"""Explicit-state models of the protocols, small enough that every interleaving is looked at."""
