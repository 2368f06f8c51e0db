"""One page that tells whether a recording is good: see `Images.report`.

What is *gathered* (by all ranks, in two passes), what is *judged* of it, the *pictures* and
*plots*, and the *page*: each in its module, and all but the first on rank 0. What a registration
does to the recording is a *correction*: measured, judged and shown in three modules of its own.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from ..core.json_types import JsonObject
from ..engine.runner import Action
from ..engine.selection import Selection, Settled
from ..engine.unwritten_data import never_written
from ..spmd.agreement import from_rank
from ..writers.output.staging import staged
from .gathering import Recording, gather

if TYPE_CHECKING:
    from ..registration.model import RegistrationModel
    from .correction import Correction

__all__ = ["write_report"]


def write_report(
    action: Action,
    images: Selection,
    metadata: JsonObject,
    path: str | os.PathLike[str],
    overwrite: bool,
    interval: float | None = None,
    registration: RegistrationModel | None = None,
) -> JsonObject:
    """See `Images.report`. Collective."""
    comm = action.comm
    inputs = images.source.inputs
    with staged(comm, path, "report", overwrite, action.name, interval, inputs) as output:
        recording, known = gather(action, images)
        unwritten = never_written(action, known)
        correction: Correction | None = None
        if registration is not None:
            from .correction import correct

            blank, mean = recording.blank, recording.pixels.mean
            correction = correct(action, known, blank, mean, registration)
        figures: JsonObject = from_rank(
            comm,
            0,
            action.name,
            _write,
            known,
            metadata,
            interval,
            recording,
            unwritten,
            correction,
            output,
        )
    return figures


def _write(
    images: Settled,
    metadata: JsonObject,
    interval: float | None,
    recording: Recording,
    unwritten: dict[str, int],
    correction: Correction | None,
    output: str,
) -> JsonObject:
    """Judge, draw and write; returns the figures. Local: rank 0."""
    from ..writers.output.files import naming_file
    from ..writers.output.plain import plain_metadata
    from .description import describe
    from .judgement import judge
    from .noted import frame_fields
    from .page import page

    description = describe(images, metadata, interval)
    with np.errstate(over="ignore", invalid="ignore"):  # as in the passes
        judged = judge(recording, description.gaps, unwritten)
        section = ""
        if correction is not None:
            from .correction_judged import judge_correction
            from .correction_shown import correction_section

            judged = judge_correction(judged, recording, correction)
            section = correction_section(recording, judged, correction, description.interval)
        made = page(recording, judged, description, section)
    with naming_file(output), open(output, "xb") as file:
        file.write(made)
        file.flush()
        os.fsync(file.fileno())
    return {
        "recording": description.fields,
        "findings": [
            {"topic": one.topic, "level": one.level, "text": one.text} for one in judged.findings
        ],
        "frames": [frame_fields(one, recording, description) for one in judged.frames],
        "figures": plain_metadata(judged.figures),
    }
