"""The command ``mpimages``: alone, under mpiexec, under srun. Nothing imports this.

It starts without MPI and NumPy: what a command needs is imported when it runs. A mistake in
the usage is found by each rank by itself, before MPI starts, and told by the launcher's rank 0;
later errors are told by rank 0 of MPI. All ranks end with the same exit code.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from io import StringIO

import click

from .commands.running import Run, progress_option
from .core.json_types import JsonObject
from .core.text import escape_controls

__all__ = ["cli", "main"]

COMMANDS = {
    "completion": "completion",
    "convert": "convert",
    "doctor": "doctor",
    "example": "example",
    "info": "info",
    "plan": "plan",
    "process": "process",
    "project": "project",
    "register": "register",
    "report": "report",
    "slurm": "slurm",
    "stats": "stats",
    "to-series": "to_series",
    "verify": "verify",
    "view": "view",
}


class Commands(click.Group):
    """The commands, each in a module of its own, and what becomes of errors."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands, each with its whole sentence, as wide as the terminal."""
        from shutil import get_terminal_size

        found = [(name, self.get_command(ctx, name)) for name in COMMANDS]
        formatter.width = max(formatter.width, get_terminal_size().columns - 2)
        with formatter.section("Commands"):
            formatter.write_dl([(name, _sentence_of(command)) for name, command in found])

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = import_module(f".commands.{COMMANDS[name]}", __package__)
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, and what may be meant by a name that is none."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(name.replace("_", "-"), COMMANDS)
            meant = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            ctx.fail(f"No such command {name!r}.{meant}")
        return super().resolve_command(ctx, args)

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: object
    ) -> object:
        """Run a command, and leave with its exit code."""
        arguments = list(sys.argv[1:] if args is None else args)
        with Run() as run:
            extra = {**extra, "standalone_mode": False, "obj": run}
            run.code = self._code(run, arguments, prog_name or "mpimages", extra)
        sys.exit(run.code)

    def _code(self, run: Run, arguments: list[str], name: str, extra: JsonObject) -> int:
        try:
            code: object = super().main(arguments, name, **extra)
        except click.ClickException as error:
            if run.speaks:
                text = StringIO()
                error.show(text)
                click.echo(escape_controls(text.getvalue()), err=True, nl=False)
            return error.exit_code
        except click.exceptions.Exit as ending:
            return ending.exit_code
        except (Exception, KeyboardInterrupt) as error:
            return run.fail(error)
        return code if isinstance(code, int) else 0


def _sentence_of(command: click.Command | None) -> str:
    """The first paragraph of a command's help."""
    assert command is not None
    return " ".join((command.help or "").partition("\n\n")[0].split())


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from . import __version__

        click.echo(f"mpimages {__version__}")
        ctx.exit()


@click.group("mpimages", cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Print the version.",
)
@progress_option
def cli() -> None:
    """Distributed images: recordings to statistics, projections and time series.

    Each command works alone, and with many processes:

    \b
        mpimages info recording/
        mpiexec -n 4 mpimages to-series recording/ series.h5
        srun --mpi=pmix mpimages stats 'movies/*.tif' statistics

    The shell completes commands and paths: eval "$(mpimages completion bash)"

    \b
    Exit codes:
      0   all is well
      1   a problem was found, or the command has failed
      2   wrong usage
      75  interrupted: run it again (with --resume, where there is one)
    """


def main() -> None:
    """The command line; ends with SystemExit."""
    cli()
