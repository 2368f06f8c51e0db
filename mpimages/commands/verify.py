"""``mpimages verify``: are outputs still what was written?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from .options import json_option
from .running import PROBLEM, Run, computes, pass_run


@click.command("verify")
@click.argument("outs", nargs=-1, required=True, metavar="OUT...")
@json_option
@computes
@pass_run
def command(run: Run, outs: tuple[str, ...], as_json: bool) -> int:
    """Read outputs again and compare every byte with their checksums.

    OUT is a binary series, an HDF5 file, or a directory of TIFFs or PNGs that mpimages wrote.
    Several ranks share several OUTs. Ends with 1 where one is damaged, or cannot be verified.

    Example: mpimages verify series/ series.h5
    """
    comm = run.world()
    own = [_look(out) for out in outs[comm.rank :: comm.size]]
    gathered = comm.allgather(own)
    found = [gathered[i % comm.size][i // comm.size] for i in range(len(outs))]
    if as_json:
        run.answer([fields for _, fields in found])
    else:
        for text, _ in found:
            run.say(text)
    return 0 if all(fields["ok"] for _, fields in found) else PROBLEM


def _look(out: str) -> tuple[str, dict[str, Any]]:
    """What `verify` says of one output, as text and as plain values. Local; raises nothing."""
    from ..verification import verify

    try:
        found = verify(out)
    except Exception as error:  # it must not keep the other outputs from being looked at
        fields = {"path": out, "kind": None, "files": 0, "bytes": 0, "problems": [str(error)]}
        return f"{out}: cannot be verified: {error}", {**fields, "ok": False}
    return str(found), {**asdict(found), "ok": found.ok}
