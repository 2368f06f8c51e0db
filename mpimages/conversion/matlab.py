"""Images to a MAT-file of MATLAB's version 7.3."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.json_types import JsonObject
from ..engine.runner import Action
from ..engine.selection import Selection
from ..formats.matlab import CLASS, matlab_class
from ..formats.output_names import MATLAB_BLOCK
from ..readers.hdf5.opening import open_hdf5
from ..writers.hdf5.enclosure import Enclosure
from .complete import OTHERWISE
from .hdf5 import save_frames
from .saving import Content, Target, check_planar

__all__ = ["save_matlab"]


@dataclass(frozen=True)
class _Matlab:
    """What MATLAB says an HDF5 file holds beside its dataset. See `hdf5.Standard`."""

    dataset: str
    matlab_class: str
    axes: tuple[str, ...]
    kind = "matlab"
    aligned = False

    @property
    def options(self) -> JsonObject:
        """Nothing: it follows from the dtype and the shape."""
        return {}

    def find(self, path: str) -> None:
        """Nothing. Local."""

    def enclose(self, found: object) -> Enclosure:
        """Return what the file begins with, and what the dataset says to MATLAB. Local."""
        # MATLAB wants text of a fixed length.
        said = {CLASS: np.bytes_(self.matlab_class)}
        return Enclosure((), said, self.axes, MATLAB_BLOCK)

    def check(self, path: str) -> None:
        """Raise FileExistsError unless a complete file is one of MATLAB's. Local: rank 0."""
        with open_hdf5(path) as file:
            said = file[self.dataset].attrs.get(CLASS)
        if said != self.matlab_class.encode() or not self.enclose(None).begins(path):
            raise FileExistsError(f"{path} is complete, but is no file of MATLAB; {OTHERWISE}")


def save_matlab(
    action: Action,
    images: Selection,
    metadata: JsonObject,
    inputs: JsonObject,
    target: Target,
    name: str,
    compression: object,
) -> None:
    """See `Images.saveAsMatlab`; `images` have their axes in reverse order. Collective."""
    known = action.known(images)
    check_planar(action, known.dims[::-1])
    kind = matlab_class(known.dtype)
    if kind is None:
        raise ValueError(
            f"{action.name}: MATLAB has no class for {known.dtype}; astype('float32') makes "
            "another dtype of it"
        )
    axes = ("time", *("page", "column", "row")[-len(known.dims) :])
    content = Content.of_images(known, metadata, inputs)
    standard = _Matlab(name, kind, axes)
    save_frames(action, known, content, target, name, None, compression, standard)
