"""A command while it runs: who prints, and how it ends on all ranks alike."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any, Self

import click

from ..core.json_types import JsonObject
from ..core.text import escape_controls
from ..spmd.exit import abort, end_within
from ..spmd.launcher import OVERRIDE, find_launcher, launch_problem, require_mpi

if TYPE_CHECKING:
    from ..context import ThunderContext

__all__ = [
    "INTERRUPTED",
    "PROBLEM",
    "Run",
    "computes",
    "options_of",
    "pass_run",
    "progress_option",
    "text_of",
]

PROBLEM, INTERRUPTED = 1, 75
# After so long a rank that has failed takes it that the others wait elsewhere, in vain.
PATIENCE = 10.0
# What to do in place of an argument that a message advises, where a command has no such option.
INSTEAD = {"memory": "start fewer ranks on each node"}
_CAMEL_CASE = re.compile("[a-z]+([A-Z][a-z0-9]+)+")
# The exit code of what ends a command; the first that fits.
CODES: tuple[tuple[type[BaseException], int], ...] = (
    (click.Abort, INTERRUPTED),
    (KeyboardInterrupt, INTERRUPTED),
    (Exception, PROBLEM),
)

Command = Callable[..., Any]


class Run:
    """One command. Until MPI starts, all but the launcher's rank 0 are silent.

    Attributes
    ----------
    debug : bool
        Show tracebacks.
    progress : bool or None
        Show how far the work is; None: as the environment says.
    timings : bool
        Show what has taken the time.
    code : int
        The exit code.
    options : dict of str
        The options of the command, by the names of the arguments that they stand for.
    """

    def __init__(self) -> None:
        self.debug = False
        self.progress: bool | None = None
        self.timings = False
        self.code = 0
        self.options: dict[str, str] = {}
        self._comm: Any = None
        self._silence = ExitStack()

    def __enter__(self) -> Self:
        launcher = find_launcher()
        alone = os.environ.get(OVERRIDE) == "1"
        if launcher is not None and launcher.rank > 0 and not alone:
            nowhere = self._silence.enter_context(open(os.devnull, "w", encoding="utf-8"))
            self._silence.enter_context(redirect_stdout(nowhere))
            self._silence.enter_context(redirect_stderr(nowhere))
        return self

    def __exit__(self, *_: object) -> None:
        self._silence.close()

    @property
    def speaks(self) -> bool:
        """Whether this process is the one that prints. Local."""
        return self._comm is None or self._comm.rank == 0

    def say(self, text: object, colour: bool | None = None) -> None:
        """Print on rank 0. Local. With `colour` as it is: what others have named is not in it."""
        if self.speaks:
            click.echo(escape_controls(str(text)) if colour is None else str(text), color=colour)

    def answer(self, fields: object, indent: int | None = 2) -> None:
        """Print what a program may read, all names in snake_case, on rank 0. Local."""
        if self.speaks:
            click.echo(json.dumps(_snake_case(fields), indent=indent, allow_nan=False))

    def warn(self, text: str) -> None:
        """Print one line of what may not be meant, on rank 0, beside the output. Local."""
        if self.speaks:
            click.echo(f"Note: {escape_controls(text)}", err=True)

    def complain(self, text: str) -> None:
        """Print one line of what is wrong, on rank 0. Local."""
        if self.speaks:
            click.echo(f"Error: {escape_controls(' '.join(text.split()))}", err=True)

    def world(self) -> Any:
        """COMM_WORLD; from now on rank 0 of it prints. Collective."""
        require_mpi()
        from mpi4py import MPI

        if launch_problem() is None:  # otherwise each would be rank 0, and say the same
            self._silence.close()
        self._comm = MPI.COMM_WORLD
        return self._comm

    @contextmanager
    def context(self, memory: str | None = None) -> Iterator[ThunderContext]:
        """A ThunderContext of all ranks. Collective."""
        world = self.world()
        from ..context import ThunderContext

        options: JsonObject = {"progress": self.progress, "timings": self.timings}
        with ThunderContext(world, memory, **options) as context:
            yield context
            if self.timings:
                table = context.timings()
                if self.speaks:  # apart from what the command answers
                    click.echo(str(table), err=True)

    def fail(self, error: BaseException) -> int:
        """Say what went wrong; ends the job where the other ranks have not failed alike.

        Collective where a command uses MPI. Returns the exit code.
        """
        code = next(code for kind, code in CODES if isinstance(error, kind))
        comm = self._comm or _world()
        alike = _all_have_failed(comm)
        if self.debug and (self.speaks or not alike):
            import traceback

            trace = "".join(traceback.format_exception(error))
            click.echo(escape_controls(trace), err=True, nl=False)
        text = self.name_options(text_of(error)) if code == PROBLEM else "interrupted"
        if not alike:  # the others wait for this rank in a call that it will never make
            click.echo(
                f"Error: rank {comm.rank}, where the other ranks did not fail: "
                f"{escape_controls(text)}",
                err=True,
            )
            abort(comm, code)
        # An interrupted import may have started MPI all the same.
        if comm is None and "mpi4py" in sys.modules:
            end_within(PATIENCE)
        self.complain(text)
        return code

    def name_options(self, text: str) -> str:
        """The message, and what the arguments that it names are in this command. Local."""
        names = dict.fromkeys(
            word.partition("=")[0].strip("('\"`") for word in text.split() if "=" in word
        )
        flags: dict[str, list[str]] = {}
        for name in names:
            if name in self.options:
                flags.setdefault(self.options[name], []).append(f"{name}=")
        hints = [
            f"{', '.join(given)} {'is' if len(given) == 1 else 'are'} {flag}"
            for flag, given in flags.items()
        ]
        hints += [
            f"in place of {name}= {INSTEAD[name]}"
            for name in names
            if name in INSTEAD and name not in self.options
        ]
        return f"{text} (here {'; '.join(hints)})" if hints else text


def _snake_case(fields: Any) -> Any:
    """The fields with the public API's names, such as pixelSize, as pixel_size."""
    if isinstance(fields, dict):
        return {
            re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name)
            if _CAMEL_CASE.fullmatch(name)
            else name: _snake_case(value)
            for name, value in fields.items()
        }
    return [_snake_case(one) for one in fields] if isinstance(fields, list | tuple) else fields


def _world() -> Any:
    """COMM_WORLD, if MPI has started: an interrupt comes between any two lines."""
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is None or not hasattr(mpi, "COMM_WORLD"):  # or but half imported
        return None
    return mpi.COMM_WORLD if mpi.Is_initialized() and not mpi.Is_finalized() else None


def _all_have_failed(comm: Any) -> bool:
    """Whether all ranks come to this within a while. Collective, if they do."""
    if comm is None or comm.size == 1:
        return True
    there, since = comm.Ibarrier(), time.monotonic()
    while not there.Test():
        if time.monotonic() - since > PATIENCE:
            return False
        time.sleep(0.01)
    return True


def text_of(error: BaseException) -> str:
    """The message of an error, with the file of one of the system. Local."""
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])
    if isinstance(error, OSError) and error.strerror is not None:
        return f"{_place(error.filename)}{error.strerror}"
    return str(error) or type(error).__name__


def _place(name: str | bytes | int | None) -> str:
    """The file of an error; of one that a user has never heard of, the directory."""
    if name is None or isinstance(name, int):
        return ""
    directory, base = os.path.split(os.fsdecode(name))
    if base.startswith(".") and ".mpimages-" in base:
        return f"{directory}: cannot be written: "
    return f"{os.fsdecode(name)}: "


def options_of(command: click.Command) -> dict[str, str]:
    """The options of a command, by the names of the arguments that they stand for. Local."""
    return {
        str(option.name): option.opts[-1]
        for option in command.params
        if isinstance(option, click.Option)
    }


def pass_run(function: Command) -> Command:
    """Gives a command its `Run` as first argument, and --debug."""

    def keep(ctx: click.Context, _: click.Parameter, debug: bool) -> None:
        run = ctx.ensure_object(Run)
        run.debug, run.options = debug, options_of(ctx.command)

    wrapped = click.make_pass_decorator(Run)(function)
    return click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        callback=keep,
        help="Show the traceback of an error.",
    )(wrapped)


def progress_option(function: Command) -> Command:
    """--progress/--no-progress, kept in the `Run`."""

    def keep(ctx: click.Context, _: click.Parameter, shown: bool | None) -> None:
        if shown is not None:
            ctx.ensure_object(Run).progress = shown

    return click.option(
        "--progress/--no-progress",
        default=None,
        expose_value=False,
        callback=keep,
        help="Show how far the work is: a bar in a terminal, else a line every 30 s. Default: yes.",
    )(function)


def computes(function: Command) -> Command:
    """Gives a command the options of all that take long."""

    def keep(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
        ctx.ensure_object(Run).timings = wanted

    timed = click.option(
        "--timings",
        is_flag=True,
        expose_value=False,
        callback=keep,
        help="At the end, show what has taken the time.",
    )(function)
    return progress_option(timed)
