"""The loop's side of the vault: when the keeper says something, dies, or has room again."""

from __future__ import annotations

import select
import time

from .vault import Vault


class Lifeline:
    """Has the loop tell of what concerns the keeper, and starts another one when it has died.

    Args:
        vault: What the keeper keeps; not owned.
        epoll: The loop's; not owned.

    Attributes:
        fd: Of the channel, as the loop knows it; -1 while there is none.
    """

    def __init__(self, vault: Vault, epoll: select.epoll) -> None:
        self._vault = vault
        self._epoll = epoll
        self.fd = -1
        self._mask = 0
        self.mind()

    @property
    def is_quiet(self) -> bool:
        """Is there nothing to be minded?"""
        return self._vault.is_settled and self._mask == select.EPOLLIN

    def hear(self) -> None:
        """The keeper has said something, or has room, or died."""
        self._vault.listen()
        self._vault.flush()

    def mind(self) -> None:
        """Have a keeper, and have the loop tell of its words, its end, and of room for what it is to be told."""
        vault, now = self._vault, time.monotonic()
        if vault.is_lost:
            self.fd = -1  # it left the epoll set when it was closed
            if not vault.renew(now):
                return
        if now >= vault.next_try:
            vault.flush()
        mask = select.EPOLLIN | (select.EPOLLOUT if vault.waits_for_room else 0)
        if self.fd < 0:
            self.fd = vault.fileno()
            self._epoll.register(self.fd, mask)
        elif mask != self._mask:
            self._epoll.modify(self.fd, mask)
        self._mask = mask
