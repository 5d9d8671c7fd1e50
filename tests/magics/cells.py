"""Cells, run in this process or in a kernel, and all that the user sees of them.  Knows of no store."""

from __future__ import annotations

import subprocess
from ast import literal_eval
from dataclasses import dataclass, field
from typing import Any

from IPython.core.completer import provisionalcompleter
from IPython.core.error import UsageError
from jupyter_client import KernelManager

SECONDS = 60
"""How long anything may take before a test fails; a loaded machine starts a kernel in ten."""


@dataclass
class Shown:
    """What one cell showed."""

    out: str = ""
    err: str = ""
    data: list[dict[str, Any]] = field(default_factory=list)  # of display and of the last line, by media type
    errors: list[dict[str, Any]] = field(default_factory=list)  # messages of type "error"
    reply: dict[str, Any] = field(default_factory=dict)

    def take(self, message: dict[str, Any]) -> None:
        content = message["content"]
        match message["msg_type"]:
            case "stream" if content["name"] == "stdout":
                self.out += content["text"]
            case "stream":
                self.err += content["text"]
            case "display_data" | "execute_result":
                self.data.append(content["data"])
            case "error":
                self.errors.append(content)


class Notebook:
    """A kernel, and the front end that talks to it."""

    def __init__(self, manager: Any, client: Any) -> None:
        self.manager = manager
        self.client = client

    @classmethod
    def start(cls, env: dict[str, str]) -> Notebook:
        manager = KernelManager(kernel_name="python3")
        manager.start_kernel(env=env, stderr=subprocess.DEVNULL)
        client = manager.blocking_client()
        client.start_channels()
        client.wait_for_ready(timeout=SECONDS)
        notebook = cls(manager, client)
        assert notebook.run("%load_ext jupyter_shm") == Shown(reply=notebook.last_reply)
        return notebook

    def end(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        # Older releases of jupyter_client leave both to the collector, which then warns.
        for context in (self.client.context, self.manager.context):
            context.destroy(linger=0)

    def run(self, code: str) -> Shown:
        """Run a cell, which may fail."""
        shown = Shown()
        reply = self.client.execute_interactive(
            code, timeout=SECONDS, allow_stdin=False, output_hook=shown.take, stop_on_error=False
        )
        self.last_reply = shown.reply = reply["content"]
        return shown

    def value(self, expression: str) -> Any:
        """What an expression means there; its repr must be a literal."""
        reply = self.client.execute(
            "", silent=True, user_expressions={"value": expression}, allow_stdin=False, reply=True, timeout=SECONDS
        )
        found = reply["content"]["user_expressions"]["value"]
        assert found["status"] == "ok", found
        return literal_eval(found["data"]["text/plain"])

    def completions(self, line: str) -> list[str]:
        """The lines that Tab at the end of this one offers."""
        found = self.client.complete(line, reply=True, timeout=SECONDS)["content"]
        return [line[: found["cursor_start"]] + match + line[found["cursor_end"] :] for match in found["matches"]]

    def forget(self) -> None:
        """Let go of all variables and outputs, and empty the store."""
        shown = self.run("get_ipython().reset()\nimport jupyter_shm as shm\nshm.connect().clear()")
        assert not shown.errors, shown.errors


class Shell:
    """An IPython in this process.  ``capsys`` has what its cells print."""

    def __init__(self, ip: Any) -> None:
        self.ip = ip

    def run(self, code: str) -> Any:
        """Run a cell that must not fail; the value that it shows."""
        done = self.ip.run_cell(code, store_history=True)
        done.raise_error()
        return done.result

    def fail(self, code: str) -> str:
        """Run a cell that must end with one line instead of a traceback; that line."""
        error = self.ip.run_cell(code).error_in_exec
        assert type(error) is UsageError, repr(error)
        assert "\n" not in str(error)
        return str(error)

    def completions(self, line: str) -> list[str]:
        """The lines that Tab at the end of this one offers."""
        with provisionalcompleter():
            found = self.ip.Completer.completions(line, len(line))
            return [line[: one.start] + one.text + line[one.end :] for one in found]

    def __getitem__(self, name: str) -> Any:
        return self.ip.user_ns[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.ip.user_ns[name] = value

    def __contains__(self, name: str) -> bool:
        return name in self.ip.user_ns
