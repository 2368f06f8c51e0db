"""One page that tells whether a recording is good: see `Images.report`.

What is *gathered* (by all ranks, in two passes), what is *judged* of it, the *pictures* and
*plots*, and the *page*: each in its module, and all but the first on rank 0.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ..collection import Collection
from ..engine.unwritten_data import never_written
from ..spmd.agreement import from_rank
from ..writers.output.staging import staged
from .gathering import Recording, gather

__all__ = ["write_report"]

ACTION = "report"


def write_report(images: Collection, path: str | os.PathLike, overwrite: bool) -> dict[str, Any]:
    """See `Images.report`. Collective."""
    comm = images._session.comm
    chain = images._records(ACTION)
    with staged(comm, path, "report", overwrite, images._name(ACTION)) as output:
        recording = gather(images, chain, ACTION)
        unwritten = never_written(comm, chain, images._name(ACTION))
        figures: dict[str, Any] = from_rank(
            comm, 0, images._name(ACTION), _write, images, recording, unwritten, output)
    return figures


def _write(
    images: Collection, recording: Recording, unwritten: dict[str, int], output: str
) -> dict[str, Any]:
    """Judge, draw and write; returns the figures. Local: rank 0."""
    from ..writers.output.files import naming_file
    from ..writers.output.plain import plain_metadata
    from .description import describe
    from .judgement import judge
    from .page import page

    description = describe(images._chain, images.metadata)
    with np.errstate(over="ignore", invalid="ignore"):  # as in the passes
        judged = judge(recording, description.gaps, unwritten)
        made = page(recording, judged, description)
    with naming_file(output), open(output, "xb") as file:
        file.write(made)
        file.flush()
        os.fsync(file.fileno())
    return {
        "recording": description.fields,
        "findings": [{"topic": one.topic, "level": one.level, "text": one.text}
                     for one in judged.findings],
        "figures": plain_metadata(judged.figures),
    }
