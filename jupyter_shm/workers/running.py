"""The worker: takes tasks out of its socket, one after the other, and answers.

Whatever a user's pickle or function does happens in here, after the task was noted as begun; so a worker that dies has
either begun a task, or not touched it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
from collections.abc import Callable
from multiprocessing import reduction
from typing import Any

from ..client.default import default_store
from ..client.parcels import STORED, Parcel, pack_parcel
from ..client.refs import ObjectRef
from ..errors import InvalidArgumentError
from . import functions, messages
from .board import Board
from .messages import Answer, Call, Clear, Got, Hello, Inbox, Kept, Output, Run
from .output import Printer
from .trouble import trouble_of

CHUNK = 256 << 10
"""Bytes that are taken from the socket at once."""

PATIENCE = 2.0
"""Seconds that a worker has to end by itself."""


class Link:
    """The worker's ends: they travel to it when it is started.

    Args:
        sock: Its end of the socket.
        board: The shared page.
    """

    def __init__(self, sock: int, board: int) -> None:
        self.sock = sock
        self.board = board

    def __getstate__(self) -> Any:
        return reduction.DupFd(self.sock), reduction.DupFd(self.board)

    def __setstate__(self, state: Any) -> None:
        self.sock, self.board = (end.detach() for end in state)
        for fd in (self.sock, self.board):
            os.set_inheritable(fd, False)


def start(link: Link) -> None:
    """Make a worker of this process, which has just been started."""
    # The terminal, and Jupyter, interrupt all processes of a group; whoever submitted decides what ends here.  A
    # function of Python, not SIG_IGN: what a task starts would inherit that.
    signal.signal(signal.SIGINT, lambda *_: None)
    worker = Worker(socket.socket(fileno=link.sock), Board(link.board))
    _here.append(worker)
    worker.printer.install()
    from . import relay

    relay.install(worker)
    worker.send(Hello())


def serve() -> None:
    """Run tasks until the submitter hangs up."""
    _here[0].serve()


_here: list[Worker] = []


def _after_fork() -> None:
    """A child that a task has forked is no worker: the socket is its parent's."""
    for worker in _here:
        worker.abandon()
    _here.clear()


os.register_at_fork(after_in_child=_after_fork)


class Worker:
    """This process, as a worker.

    Args:
        sock: To the submitter.
        board: The page shared with it.

    Attributes:
        printer: Collects what is printed.
        on_kept: Called with what the submitter tells of tasks that were submitted here.
    """

    def __init__(self, sock: socket.socket, board: Board) -> None:
        self._sock = sock
        self._board = board
        self._inbox = Inbox(of_worker=False)
        self._todo: list[messages.ToWorker] = []
        self._sending = threading.RLock()
        self._submitter = os.getppid()
        self._number = 0
        self._functions: dict[bytes, Callable[..., Any]] = {}
        self._codes: dict[bytes, Parcel] = {}
        self._kept: dict[int, list[ObjectRef]] = {}
        self._actor: Any = None
        self.printer = Printer(self._print)
        self.on_kept: Callable[[Kept], None] = lambda _: None
        threading.Thread(target=self._end_with_submitter, name="jupyter-shm-submitter", daemon=True).start()

    def serve(self) -> None:
        """Run tasks until the submitter hangs up."""
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                self.step()
        if os.getppid() != self._submitter:
            os._exit(0)  # loky would have nobody to answer to

    def step(self, flags: int = 0) -> bool:
        """Take what has come, wait for it if need be, and do the first of it.

        Args:
            flags: MSG_DONTWAIT: do not wait.

        Returns:
            Was there anything?

        Raises:
            EOFError: The submitter has hung up.
        """
        if not self._todo:
            try:
                data = self._sock.recv(CHUNK, flags)
            except BlockingIOError:
                return False
            if not data:
                raise EOFError
            self._todo += self._inbox.feed(data)  # type: ignore[arg-type]
        if self._todo:
            self._handle(self._todo.pop(0))
        return True

    def fileno(self) -> int:
        """Of the socket; there may be something to do although it is not readable, see ``has_work``."""
        return self._sock.fileno()

    @property
    def has_work(self) -> bool:
        """Is there something that was taken out of the socket, and not done?"""
        return bool(self._todo)

    def send(self, message: messages.FromWorker) -> None:
        """Tell the submitter; from any thread."""
        with self._sending:
            self._sock.sendall(messages.encode(message))

    def abandon(self) -> None:
        """We are a forked child: nothing of this is ours."""
        self.printer.remove()
        self._sock.close()

    def _handle(self, message: messages.ToWorker) -> None:
        if isinstance(message, Run):
            if message.call.code is not None:
                self._codes[message.call.digest] = message.call.code
            if self._board.begin(message.number):
                self._run(message.number, message.call)
        elif isinstance(message, Got):
            self._kept.pop(message.number, None)
        elif isinstance(message, Clear):
            self._functions.clear()
            self._codes.clear()
        else:
            self.on_kept(message)

    def _run(self, number: int, call: Call) -> None:
        outer, self._number = self._number, number
        try:
            try:
                parcels, kept = self._call(call)
                answer = Answer(number, parcels, None, bool(kept))
                if kept:
                    self._kept[number] = kept
            except BaseException as error:
                answer = Answer(number, [], trouble_of(error), False)
            self.printer.flush()
            self.send(answer)
        finally:
            self._number = outer

    def _call(self, call: Call) -> tuple[list[Parcel], list[ObjectRef]]:
        if call.actor and call.method:
            return carry_out(call, getattr(self._actor, call.method))
        function = self._functions.get(call.digest)
        if function is None:
            function = self._functions[call.digest] = functions.load(self._codes.pop(call.digest))
        return carry_out(call, self._maker_of_actor(function) if call.actor else function)

    def _maker_of_actor(self, kind: Callable[..., Any]) -> Callable[..., Any]:
        def make(*args: Any, **kwargs: Any) -> None:
            self._actor = kind(*args, **kwargs)

        return make

    def _print(self, is_error: bool, text: str) -> None:
        with contextlib.suppress(OSError):
            self.send(Output(self._number, is_error, text))

    def _end_with_submitter(self) -> None:
        """A submitter that is killed ends nothing, and a task may run for long."""
        poll = select.poll()
        poll.register(self._sock, select.POLLRDHUP)
        poll.poll()
        if os.getppid() == self._submitter:
            threading.Event().wait(PATIENCE)  # it was told to end, and does so by itself if nothing holds it up
        os._exit(1)


def carry_out(call: Call, function: Callable[..., Any]) -> tuple[list[Parcel], list[ObjectRef]]:
    """Call a function.

    Args:
        call: With which arguments.
        function: What ``call.code`` means.

    Returns:
        What it returned, and what is to be kept until that has arrived.
    """
    args, kwargs = fetched(call.arguments)
    if call.values:
        args, kwargs = _complete(args, kwargs, call.values)
    result = function(*args, **kwargs)
    del args, kwargs
    if call.returns == 1:
        parcel, kept = pack_parcel(result)
        return [parcel], kept
    return _pack_all(result, call)


def fetched(parcel: Parcel) -> Any:
    """The object of a parcel."""
    return default_store().get(parcel.ref()) if parcel.kind == STORED else parcel.build()


def _complete(args: Any, kwargs: Any, values: list[tuple[messages.Where, Parcel]]) -> tuple[list[Any], dict[str, Any]]:
    args, kwargs = list(args), dict(kwargs)
    for where, parcel in values:
        if isinstance(where, int):
            args[where] = fetched(parcel)
        else:
            kwargs[where] = fetched(parcel)
    return args, kwargs


def _pack_all(result: Any, call: Call) -> tuple[list[Parcel], list[ObjectRef]]:
    if not isinstance(result, (tuple, list)) or len(result) != call.returns:
        what = f"{len(result)} values" if isinstance(result, (tuple, list)) else f"a {type(result).__name__}"
        raise InvalidArgumentError(
            f"{call.name} returned {what}; with num_returns={call.returns} it has to return a tuple or list of as many"
        )
    parcels, keep = [], []
    for one in result:
        parcel, kept = pack_parcel(one)
        parcels.append(parcel)
        keep += kept
    return parcels, keep
