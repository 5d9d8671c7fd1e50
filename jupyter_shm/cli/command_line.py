"""The words of the command line, and what becomes of errors: one line on stderr and an exit status.

Exit status: 0 done, 1 it went wrong, 2 the command line makes no sense, 3 no store is running.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import SettingError, ShmError
from ..linux.requirement import require_linux
from ..sizes import parse_size
from . import lifecycle, objects
from .terminal import FAILED, NotRunningError, complain

NO_STORE = 3
INTERRUPTED = 130  # what a shell makes of SIGINT
UNHEARD = 141  # what a shell makes of SIGPIPE


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The words behind ``jupyter shm``; those of this process if omitted.

    Returns:
        The exit status.

    Raises:
        SystemExit: The command line makes no sense, or help was asked for.
    """
    options = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the terminal's encoding lacks is no reason to fail.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        require_linux()
        status: int | None = options.verb(options)
        sys.stdout.flush()
    except NotRunningError as error:
        complain(str(error))
        return NO_STORE
    except BrokenPipeError:
        # Whoever reads us has enough.  Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNHEARD
    except (ShmError, OSError) as error:
        complain(str(error))
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return status or 0


def _parser() -> argparse.ArgumentParser:
    about = "One copy of an array or table for all notebooks and processes of this machine."
    parser = argparse.ArgumentParser(prog="jupyter shm", description=about, allow_abbrev=False)
    _add_store(parser, default=None)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    verb = _add_verb(verbs, "start", lifecycle.start, "start the store; any first use does that too")
    verb.add_argument("--capacity", type=_checked(parse_size), metavar="SIZE", help="such as 8GB; else half the memory")

    verb = _add_verb(verbs, "stop", lifecycle.stop, "end the store and all that it holds")
    verb.add_argument("--force", action="store_true", help="also while processes are connected, or it does not answer")

    verb = _add_verb(verbs, "ls", objects.ls, "list what is published")
    verb.add_argument("pattern", nargs="?", help="only names that match, as in a shell; quote it: 'run*'")
    verb.add_argument("--anonymous", action="store_true", help="objects without a name too")
    verb.add_argument("--json", action="store_true", help="for programs: a list of objects")

    verb = _add_verb(verbs, "info", objects.info, "tell everything about one object")
    verb.add_argument("name")
    verb.add_argument("--json", action="store_true", help="for programs: one object")

    verb = _add_verb(verbs, "rm", objects.rm, "take names away; who reads such an object keeps its bytes")
    verb.add_argument("names", nargs="*", metavar="name", help="or a pattern as in a shell; quote it: 'tmp*'")
    verb.add_argument("--all", action="store_true", help="every name that there is")

    verb = _add_verb(verbs, "pin", objects.pin, "keep objects from expiring and from being spilled")
    verb.add_argument("names", nargs="+", metavar="name")

    verb = _add_verb(verbs, "unpin", objects.unpin, "let them expire and be spilled again; what is over ends at once")
    verb.add_argument("names", nargs="+", metavar="name")

    verb = _add_verb(
        verbs, "set", lifecycle.set_capacity, "change a setting of the store that runs; its next process keeps it"
    )
    settings = verb.add_subparsers(title="settings", metavar="SETTING", required=True)
    setting = _add_setting(
        settings, "capacity", "memory that it may use; what is above it is spilled to disk, not lost"
    )
    setting.add_argument("size", type=_checked(parse_size), metavar="SIZE", help="such as 8GB, or 512MiB")

    _add_verb(verbs, "top", _top, "watch what the store holds and who holds it; q quits")

    _add_verb(verbs, "doctor", _doctor, "try what this machine allows, and say what to change")

    verb = _add_verb(verbs, "demo", _demo, "share real data between two kernels, in a store of its own")
    verb.add_argument("--keep", type=Path, metavar="PATH", help="save the notebook as it was run")
    return parser


def _add_verb(verbs: Any, name: str, run: Callable[..., int | None], about: str) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(name, help=about, description=about, allow_abbrev=False)
    verb.set_defaults(verb=run)
    # Left out here, it must not undo what was said in front of the verb.
    _add_store(verb, default=argparse.SUPPRESS)
    return verb


def _add_setting(settings: Any, name: str, about: str) -> argparse.ArgumentParser:
    setting: argparse.ArgumentParser = settings.add_parser(name, help=about, description=about, allow_abbrev=False)
    _add_store(setting, default=argparse.SUPPRESS)
    return setting


def _add_store(parser: argparse.ArgumentParser, default: Any) -> None:
    about = "which store, if there are several; else JUPYTER_SHM_STORE, or 'default'"
    parser.add_argument("--store", metavar="NAME", type=_checked(_store_name), default=default, help=about)


def _store_name(text: str) -> str:
    from ..linux.runtime import store_name

    return store_name(text)


def _checked(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """Let argparse show our own sentence about a word that makes no sense."""

    def checked(text: str) -> Any:
        try:
            return convert(text)
        except SettingError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked


def _top(options: argparse.Namespace) -> None:
    from .top import top

    top(options)


def _doctor(options: argparse.Namespace) -> int:
    from .doctor import doctor

    return doctor(options)


def _demo(options: argparse.Namespace) -> int:
    from .demo import demo

    return demo(options)
