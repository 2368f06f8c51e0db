"""``mpimages completion``: the shell completes commands, options and paths."""

from __future__ import annotations

import os

import click

from .running import Run, pass_run

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_MPIMAGES_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS), required=False)
@pass_run
def command(run: Run, shell: str | None) -> None:
    """Print what makes a shell complete commands, options and paths; by default that of $SHELL.

    \b
    Examples:
      eval "$(mpimages completion bash)"       # in ~/.bashrc; zsh: the same in ~/.zshrc
      mpimages completion fish > ~/.config/fish/completions/mpimages.fish
    """
    from click.shell_completion import get_completion_class

    name = shell or os.path.basename(os.environ.get("SHELL", ""))
    kind = get_completion_class(name) if name in SHELLS else None
    if kind is None:
        raise click.UsageError(f"Name the shell: one of {', '.join(SHELLS)}.")
    root = click.get_current_context().find_root()
    made = kind(root.command, {}, "mpimages", VARIABLE)
    # Not `source`: for bash it asks the bash on PATH for its version, which need not be there.
    run.say(made.source_template % made.source_vars())
