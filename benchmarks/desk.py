"""What one host process works with: its peer, and what it keeps alive for others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .peers.peer import Peer


@dataclass
class Desk:
    """Args:
    peer: How this host shares arrays.
    folder: Of the session.
    kept: Handles of what it has published, by label.
    held: Arrays that it has fetched and keeps.
    """

    peer: Peer
    folder: Path
    kept: dict[str, list[Any]] = field(default_factory=dict)
    held: list[Any] = field(default_factory=list)

    def delete(self, handles: Iterable[Any]) -> None:
        """Give back the memory of what this host has published."""
        for handle in handles:
            self.peer.delete(handle)
