"""What a get of a cancelled task raises: our own error, and the one that futures raise."""

from __future__ import annotations

from concurrent import futures

from ..errors import CancelledError


class TaskCancelledError(CancelledError, futures.CancelledError):
    """The task was cancelled, or the workers were shut down before it had ended."""
