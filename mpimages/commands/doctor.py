"""``mpimages doctor``: is everything as it should be?"""

from __future__ import annotations

from dataclasses import asdict

import click

from .options import files, json_option, named
from .running import PROBLEM, Run, pass_run


@click.command("doctor")
@click.argument("path", required=False, shell_complete=files)
@json_option
@pass_run
def command(run: Run, path: str | None, as_json: bool) -> int:
    """Say what is installed, how the job was launched, and whether PATH is fit for outputs.

    Run it as the job will run: with its launcher and its number of ranks. In the directory PATH
    a small output is written by all ranks, read back, compared and removed. Ends with 1 where
    there is a problem.

    \b
    Examples:
      mpimages doctor
      srun -n 64 mpimages doctor /scratch/results
    """
    if path is not None:
        path = named(path, "PATH")
    world = run.world()
    from ..doctor import examine

    findings = examine(world, path)
    sound = all(finding.status != "problem" for finding in findings)
    if as_json:
        run.answer({"ok": sound, "findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            run.say(finding)
    return 0 if sound else PROBLEM
