"""``mpimages verify``: are outputs still what was written?"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ..core.json_types import JsonObject
from .options import files, json_option, named
from .running import PROBLEM, Run, computes, pass_run, text_of

if TYPE_CHECKING:
    from ..context import ThunderContext


@click.command("verify")
@click.argument("outs", nargs=-1, required=True, metavar="OUT...", shell_complete=files)
@json_option
@computes
@pass_run
def command(run: Run, outs: tuple[str, ...], as_json: bool) -> int:
    """Read outputs again and compare every byte with their checksums.

    OUT is what mpimages wrote: a binary series, a Zarr, an HDF5 or NWB file, a directory of
    suite2p, of CaImAn, of TIFFs or PNGs, one TIFF of all images, a directory of statistics, a
    report, or a stored registration.
    Several ranks share several OUTs. Ends with 1 where one is damaged, or cannot be verified.

    Example: mpimages verify series/ series.h5
    """
    outs = tuple(named(out, "OUT") for out in outs)
    with run.context() as context:
        gathered, size = _look_together(context, outs), context.size
    found = [gathered[i % size][i // size] for i in range(len(outs))]
    if as_json:
        run.answer([fields for _, fields in found])
    else:
        for text, _ in found:
            run.say(text)
    return 0 if all(fields["ok"] for _, fields in found) else PROBLEM


def _look_together(
    context: ThunderContext, outs: Sequence[str]
) -> list[list[tuple[str, JsonObject]]]:
    """What each rank says of its share of the outputs. Collective."""
    from ..spmd.agreement import Together
    from ..spmd.collectives import allgather

    session, comm = context.session, context.comm
    with session.action("mpimages verify"):
        own = outs[comm.rank :: comm.size]
        total = sum(allgather(comm, sum(map(_stored, own))))
        with session.meter.piece("verify", total, "bytes") as tick, Together(comm, "verify"):
            found = [_look(out, tick) for out in own]
        return allgather(comm, found)


def _stored(out: str) -> int:
    """The bytes of an output's files, as far as they can be seen. Local; raises nothing."""
    total = 0
    with suppress(OSError, ValueError):
        if not os.path.isdir(out):
            return os.stat(out).st_size
        for above, _, names in os.walk(out):
            for name in names:
                with suppress(OSError):
                    total += os.lstat(os.path.join(above, name)).st_size
    return total


def _look(out: str, tick: Callable[[int], None]) -> tuple[str, JsonObject]:
    """What `verify` says of one output, as text and as plain values. Local; raises nothing."""
    from ..verification import verify

    try:
        found = verify(out, tick)
    except Exception as error:  # it must not keep the other outputs from being looked at
        fields = {"path": out, "kind": None, "files": 0, "bytes": 0, "problems": [text_of(error)]}
        told = text_of(error).removeprefix(f"{out}: ").removeprefix(f"{out!r}: ")
        return f"{out}: cannot be verified: {told}", {**fields, "ok": False}
    return str(found), {**asdict(found), "ok": found.ok}
