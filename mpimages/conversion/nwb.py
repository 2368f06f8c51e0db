"""Images, or traces of regions, to an NWB file."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

import numpy as np

from ..core.json_types import JsonObject
from ..engine.runner import Action
from ..engine.selection import Selection, Settled
from ..formats.output_names import PARTIAL_MARK
from ..readers.hdf5.opening import open_hdf5
from ..statistics.regions import Regions
from ..writers.hdf5.enclosure import Enclosure
from ..writers.nwb.facts import Facts, Timing
from ..writers.nwb.objects import (
    created_in,
    enclose_images,
    enclose_traces,
    image_dataset,
    traces_dataset,
)
from .complete import OTHERWISE
from .hdf5 import save_frames, save_series_hdf5
from .saving import Content, Target

__all__ = ["save_images", "save_traces"]


@dataclass(frozen=True)
class _Nwb:
    """What NWB says an HDF5 file holds beside its dataset. See `hdf5.Standard`."""

    facts: Facts
    dataset: str
    make: Callable[[str], Enclosure]
    further: JsonObject
    kind = "nwb"
    aligned = True

    @property
    def options(self) -> JsonObject:
        """The facts, and what else decides the objects."""
        said = json.dumps(asdict(self.facts), sort_keys=True, default=np.ndarray.tolist)
        return {"facts": zlib.crc32(said.encode()), **self.further}

    def find(self, path: str) -> str:
        """The date of creation: as given, or when the output was begun. Local: rank 0.

        The mark of the partial directory is there from the beginning, and a job that resumes
        leaves it as it is.
        """
        if self.facts.created is not None:
            return self.facts.created
        begun = os.stat(os.path.join(os.path.dirname(path), PARTIAL_MARK)).st_mtime
        return datetime.fromtimestamp(int(begun), UTC).isoformat()

    def enclose(self, found: object) -> Enclosure:
        """Return the objects of the file, of this date of creation. Local."""
        return self.make(str(found))

    def check(self, path: str) -> None:
        """Raise FileExistsError unless a complete file has these objects. Local: rank 0."""
        with open_hdf5(path) as file:
            created = self.facts.created or created_in(file)
            other = self.make(created).difference(file)
        if other is not None:
            raise FileExistsError(
                f"{path} is complete, but what it says at {other} is not what was given now; "
                f"{OTHERWISE}"
            )


def save_images(
    action: Action,
    images: Selection,
    metadata: JsonObject,
    inputs: JsonObject,
    target: Target,
    facts: Facts,
    chunks: object,
    compression: object,
) -> None:
    """See `Images.saveAsNWB`; `images` have their axes in NWB's order. Collective."""
    known = action.known(images)
    if len(known.dims) not in (2, 3):
        raise ValueError(f"{action.name}: NWB has images of 2 or 3 axes, not of dims {known.dims}")
    _check_dtype(action, known)
    content = Content.of_images(known, metadata, inputs)
    content, timing = _timed(action, content, facts)

    def make(created: str) -> Enclosure:
        return enclose_images(facts, timing, created, known.dims)

    standard = _Nwb(facts, image_dataset(facts), make, {})
    save_frames(action, known, content, target, standard.dataset, chunks, compression, standard)


def save_traces(
    action: Action,
    traces: Settled,
    content: Content,
    target: Target,
    facts: Facts,
    regions: Regions,
    dims: tuple[int, ...],
    chunks: object,
    compression: object,
) -> None:
    """See `Series.saveAsNWB`; `dims` are those of the images with the regions. Collective."""
    if len(regions.pixels) != traces.count:
        raise ValueError(
            f"{action.name}: regions are {len(regions.pixels)}, but the Series has {traces.count} "
            "records: it must have a trace for each region, in their order, as "
            "loadSeriesFromArray makes it of the values of meanByRegions"
        )
    _check_dtype(action, traces)
    content, timing = _timed(action, replace(content, shape=(traces.count, traces.dims[0])), facts)
    pixels = [np.stack(np.unravel_index(one, dims), axis=1) for one in regions.pixels]

    def make(created: str) -> Enclosure:
        return enclose_traces(facts, timing, created, pixels, regions.weights)

    standard = _Nwb(facts, traces_dataset(facts), make, {"regions": regions.checksum})
    save_series_hdf5(
        action, traces, content, target, standard.dataset, "images", chunks, compression, standard
    )


def _check_dtype(action: Action, records: Settled) -> None:
    if records.dtype == np.float16:
        raise TypeError(f"{action.name}: NWB has no float16; astype('float32') has the same values")


def _timed(action: Action, content: Content, facts: Facts) -> tuple[Content, Timing]:
    """The content with the interval at which its images follow each other, and their times."""
    timing = facts.timing(content.index, action.name)
    metadata = {**content.metadata, "frameInterval": timing.interval}
    if timing.interval is None:
        del metadata["frameInterval"]
    return replace(content, metadata=metadata), timing
