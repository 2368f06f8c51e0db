"""Methods that write NWB files: images, or the traces of regions of Series."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.arguments import check_choice
from ..core.public import public
from ..core.text import quote
from ..engine.geometry import ColumnsFirst
from ..spmd.actions import action, stoppable
from .base import ImageMethods
from .series_saving import SeriesSaving

if TYPE_CHECKING:
    from ..statistics.regions import Regions

__all__ = ["ImagesToNWB", "SeriesToNWB"]

Date = str | datetime
# Pixels along an axis of an image: NWB has 32 bits for their numbers.
LARGEST = 1 << 31
MOST_PIXELS = (1 << 63) - 1


@public
class ImagesToNWB(ImageMethods):
    """Images written as NWB, by all ranks."""

    @action
    @stoppable
    def saveAsNWB(
        self,
        path: str | os.PathLike[str],
        *,
        identifier: str | None = None,
        sessionDescription: str | None = None,
        sessionStartTime: Date | None = None,
        series: str = "TwoPhotonSeries",
        name: str | None = None,
        description: str | None = None,
        unit: str | None = None,
        device: str | Mapping[str, str] | None = None,
        indicator: str | None = None,
        location: str | None = None,
        excitationLambda: float | None = None,
        emissionLambda: float | None = None,
        opticalChannel: str | None = None,
        frameInterval: float | None = None,
        timestamps: Sequence[float] | np.ndarray | None = None,
        startingTime: float | None = None,
        subject: Mapping[str, Any] | None = None,
        general: Mapping[str, Any] | None = None,
        fileCreateDate: Date | None = None,
        chunks: object = None,
        compression: object = None,
        overwrite: bool = False,
        resume: bool = False,
        memory: int | str | None = None,
    ) -> None:
        """Write one NWB 2 file with all images, from all ranks. Collective; an action.

        The images are ``/acquisition/NAME/data``. Its axes are those of the standard: (time, x, y)
        or (time, x, y, z), where x is the column of an image, y the row and z the page. So
        ``data[t]`` in pynwb is the *transpose* of an image here, and `loadImages` turns it back.

        Nothing is made up. What the standard demands and neither the arguments nor the recording
        tell is listed in one error. pynwb need not be installed; ``pip install 'mpimages[nwb]'``
        installs it together with NWB Inspector, which checks files for archives.

        Parameters
        ----------
        path : path
            A new file, which should end in ``.nwb``; its directory must exist.
        identifier : str
            A text that no other file has. The identifiers of all objects are derived from it.
        sessionDescription : str
            What was done, and what the file holds.
        sessionStartTime : datetime or str
            When the session began, with its time zone; a str is as in ISO 8601, such as
            ``'2026-03-01T14:30:00+01:00'``. Times in the file count from it.
        series : {'TwoPhotonSeries', 'OnePhotonSeries', 'ImageSeries'}
            The standard's type. The first two need `device`, `indicator`, `location`,
            `excitationLambda`, `emissionLambda` and `opticalChannel`; pixel sizes are stored only
            with them. An ImageSeries, which may have a `device`, is for other images. It is never
            chosen because something is missing.
        name : str, optional
            Of the series; by default its type.
        description : str, optional
            Of the series.
        unit : str, optional
            Of the images' values; ``'n.a.'`` by default.
        device : str or mapping
            The microscope's name; or a mapping with ``'name'`` and ``'description'``.
        indicator, location : str
            Such as ``'GCaMP6f'``; and the imaged area of the brain. For mice archives expect a term
            of the Allen atlas, such as ``'VISp'``.
        excitationLambda, emissionLambda : float
            Wavelengths in nm.
        opticalChannel : str
            Describes the channel, such as its filter.
        frameInterval : float, optional
            Seconds between images whose keys differ by one; by default that of the metadata. Keys
            in equal steps give a rate; others, as a filter leaves them, time stamps.
        timestamps : (T,) sequence of float, optional
            Instead: when each image was taken, in seconds after the start of the session.
        startingTime : float, optional
            The time of key 0, in seconds after the start of the session; 0 by default.
        subject : mapping, optional
            Of the animal, with the standard's names: ``subject_id``, ``age`` (``'P90D'``),
            ``date_of_birth``, ``sex``, ``species``, ``genotype``, ``strain``, ``weight``,
            ``description``. Archives need it.
        general : mapping, optional
            More about the session, with the standard's names: ``experimenter``, ``institution``,
            ``lab``, ``keywords``, ``experiment_description``, ``session_id`` and others.
        fileCreateDate : datetime or str, optional
            By default the time at which this output was begun, in UTC. Given, the same images
            always give the same bytes.
        chunks, compression, overwrite, resume, memory
            As in `Series.saveAsHDF5`. A chunk is given in the axes of the dataset.

        Raises
        ------
        ValueError
            Where something is missing, which the message lists; for an argument that has no effect,
            or a value that cannot be true; where the images are neither 2-D nor 3-D.
        TypeError
            For an argument of another type; for float16, which NWB does not have.
        FileExistsError, MemoryError
            As `Series.saveAsHDF5`. A file to which another program has added something is not
            replaced.
        """
        from ..conversion.nwb import save_images
        from ..conversion.saving import Target
        from ..writers.nwb.checks import IMAGE_SERIES, check_facts

        given = {**locals()}  # the arguments, by their names
        kind = check_choice(series, "saveAsNWB: series", IMAGE_SERIES)
        target = Target.checked(path, overwrite, resume, memory)
        facts = check_facts("saveAsNWB", kind, kind, self.metadata, given)
        turned = self._then(ColumnsFirst("saveAsNWB"))
        begun, images = turned.records.begin("saveAsNWB", 1, target.memory)
        inputs = self.records.inputs
        save_images(begun, images, self.metadata, inputs, target, facts, chunks, compression)


@public
class SeriesToNWB(SeriesSaving):
    """Traces of regions written as NWB, by all ranks."""

    @action
    @stoppable
    def saveAsNWB(
        self,
        path: str | os.PathLike[str],
        regions: np.ndarray | Sequence[Sequence[Sequence[int]]],
        weights: np.ndarray | Sequence[Sequence[float]] | None = None,
        *,
        identifier: str | None = None,
        sessionDescription: str | None = None,
        sessionStartTime: Date | None = None,
        interface: str = "Fluorescence",
        name: str | None = None,
        description: str | None = None,
        unit: str | None = None,
        device: str | Mapping[str, str] | None = None,
        indicator: str | None = None,
        location: str | None = None,
        excitationLambda: float | None = None,
        emissionLambda: float | None = None,
        opticalChannel: str | None = None,
        frameInterval: float | None = None,
        timestamps: Sequence[float] | np.ndarray | None = None,
        startingTime: float | None = None,
        subject: Mapping[str, Any] | None = None,
        general: Mapping[str, Any] | None = None,
        fileCreateDate: Date | None = None,
        chunks: object = None,
        compression: object = None,
        overwrite: bool = False,
        resume: bool = False,
        memory: int | str | None = None,
    ) -> None:
        """Write one NWB 2 file with the traces of regions. Collective; an action.

        A record is the trace of a region, such as `loadSeriesFromArray` makes of what
        `meanByRegions` returns. They become a RoiResponseSeries, (time, region), and the regions
        a PlaneSegmentation with the pixels of each: x is the column, y the row, z the page. Times
        follow from the index of the Series, as those of images from their keys.

        Parameters
        ----------
        path : path
            A new file, which should end in ``.nwb``; its directory must exist.
        regions : ndarray of the images' dims, or sequence of regions
            As many as there are records, in their order. In an integer mask a region is each value
            but 0, in ascending order; a sequence has a list of pixels, (row, column[, page]), for
            each region.
        weights : ndarray of the images' dims, or sequence of lists of numbers, optional
            Of the pixels of each region; 1 by default.
        interface : {'Fluorescence', 'DfOverF'}
            What the traces are: dF/F is what `normalize` makes.
        name : str, optional
            Of the RoiResponseSeries, by default its type.
        identifier, sessionDescription, sessionStartTime, description, unit, device, indicator
            As in `Images.saveAsNWB`.
        location, excitationLambda, emissionLambda, opticalChannel, frameInterval, timestamps
            As in `Images.saveAsNWB`.
        startingTime, subject, general, fileCreateDate
            As in `Images.saveAsNWB`.
        chunks, compression, overwrite, resume, memory
            As in `saveAsHDF5`. A chunk is (times, regions).

        Raises
        ------
        ValueError
            Where something is missing, which the message lists; where there is not one region for
            each record, or a filter has left out records; as `Images.saveAsNWB`.
        TypeError, FileExistsError, MemoryError
            As `Images.saveAsNWB`.
        """
        from ..conversion.nwb import save_traces
        from ..conversion.saving import Target
        from ..writers.nwb.checks import check_facts

        given = {**locals()}  # the arguments, by their names
        kind = check_choice(interface, "saveAsNWB: interface", ("Fluorescence", "DfOverF"))
        target = Target.checked(path, overwrite, resume, memory)
        found, dims = _regions(regions, weights)
        facts = check_facts("saveAsNWB", kind, "RoiResponseSeries", self.metadata, given)
        begun, series = self._whole("saveAsNWB", target.memory)
        known = begun.known(series)
        content = self._content(known)
        save_traces(begun, known, content, target, facts, found, dims, chunks, compression)


def _regions(given: Any, weights: Any) -> tuple[Regions, tuple[int, ...]]:
    """The regions, and the dims of images that hold them. Local."""
    from ..statistics.regions import check_coordinates, regions_of

    lists = given
    if isinstance(given, np.ndarray) and given.dtype.kind in "biu":
        dims = given.shape
    elif isinstance(given, list | tuple) and given:
        axes = _axes_of(given[0])
        lists = [check_coordinates(one, f"region {i}", axes) for i, one in enumerate(given)]
        dims = tuple(int(n) + 1 for n in np.concatenate(lists).max(axis=0))
    else:
        raise TypeError(
            "saveAsNWB: regions must be a mask of integers, or a list of regions, got "
            f"{quote(given)}"
        )
    if len(dims) not in (2, 3) or max(dims) > LARGEST or math.prod(dims) > MOST_PIXELS:
        raise ValueError(
            f"saveAsNWB: regions must lie in images of 2 or 3 axes, of at most {LARGEST} pixels "
            f"each and {MOST_PIXELS} in all, but need {dims}"
        )
    return regions_of(lists, dims, weights, method="saveAsNWB: regions"), dims


def _axes_of(region: object) -> int:
    """How many coordinates the pixels of a region have; 2 where it is no region. Local."""
    try:
        return 3 if np.asarray(region).shape[1:] == (3,) else 2
    except Exception:  # of any type: the code of the user's object runs here
        return 2
