"""Images as files: TIFF in their own dtype, in one file or one per image; flat binary; PNG."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
from mpi4py import MPI

from ..core.json_types import JsonObject
from ..core.timers import phase
from ..engine.chain import Shape
from ..engine.runner import Action
from ..engine.selection import Selection, Settled
from ..spmd.collectives import allreduce
from ..writers.binary_images import described, write_binary
from ..writers.output.files import naming_file
from ..writers.output.staging import staged
from ..writers.pictures import PictureWriter
from ..writers.png import ImshowMapping, write_png
from ..writers.tif.images import write_tif
from ..writers.tif.layout import StackLayout
from ..writers.tif.stack import StackWriter

__all__ = ["save_binary", "save_pngs", "save_tif", "save_tifs"]

Path = str | os.PathLike[str]
# Writes one image into a file.
Write = Callable[[str, np.ndarray], None]


def save_tifs(
    action: Action,
    images: Selection,
    metadata: JsonObject,
    path: Path,
    prefix: str,
    overwrite: bool,
) -> None:
    """See `Images.saveAsTifs`. Collective."""
    if isinstance(images, Settled):
        _check_page(images)

    def write(file: str, image: np.ndarray) -> None:
        write_tif(file, np.ascontiguousarray(image), metadata)

    _save_pictures(action, images, path, "tif", prefix, overwrite, lambda: write)


def save_binary(
    action: Action, images: Selection, path: Path, prefix: str, overwrite: bool
) -> None:
    """See `Images.saveAsBinaryImages`. Collective."""
    if isinstance(images, Settled):
        described(images.dims, images.dtype)
    _save_pictures(
        action, images, path, "bin", prefix, overwrite, lambda: write_binary, beside=described
    )


def _check_page(images: Settled) -> None:
    if len(images.dims) not in (2, 3):
        raise ValueError(f"a TIFF holds images or volumes, not records of dims {images.dims}")


def save_tif(
    action: Action, images: Selection, metadata: JsonObject, path: Path, overwrite: bool
) -> None:
    """See `Images.saveAsTif`. Collective."""
    known = action.known(images)
    _check_page(known)
    with action.together():  # the metadata are local to a rank
        rows, columns, pages = (*known.dims, 1)[:3]
        layout = StackLayout((known.count, pages, rows, columns), known.dtype, metadata)
    inputs, nodes = images.source.inputs, action.session.nodes
    with staged(
        action.comm, path, "tifstack", overwrite, action.name, inputs=inputs, nodes=nodes
    ) as file:
        writer = StackWriter(action.comm, file, layout)
        try:
            action.stream(known, writer.write)
            writer.finish()
        finally:
            writer.close()


def save_pngs(
    action: Action, images: Selection, path: Path, prefix: str, overwrite: bool, options: JsonObject
) -> None:
    """See `Images.saveAsPngs`. Collective."""
    _check_flat(action, images)

    def make() -> Write:
        known, chosen = images, dict(options)
        if _scale_is_open(chosen):
            known, low, high = _finite_range(action, images)
            _check_flat(action, known)
            for end, found in (("vmin", low), ("vmax", high)):
                if chosen[end] is None and getattr(chosen["norm"], end, None) is None:
                    chosen[end] = found
        mapping: ImshowMapping | None = None
        if isinstance(known, Settled):
            with action.together():
                mapping = ImshowMapping(known.dtype, **chosen)  # wrong options fail before files

        def write(file: str, image: np.ndarray) -> None:
            nonlocal mapping
            if mapping is None:
                mapping = ImshowMapping(image.dtype, **chosen)
            write_png(file, image, mapping)

        return write

    _save_pictures(action, images, path, "png", prefix, overwrite, make, options)


def _check_flat(action: Action, images: Selection) -> None:
    if isinstance(images, Settled) and len(images.dims) != 2:
        raise ValueError(
            f"{action.method} writes 2-D images, but these have dims {images.dims}; "
            "use planes() or a projection first"
        )


def _scale_is_open(options: JsonObject) -> bool:
    """Return True if an end of the scale is set neither by the user nor by the norm."""
    norm = options["norm"]
    return any(
        options[end] is None and getattr(norm, end, None) is None for end in ("vmin", "vmax")
    )


def _finite_range(action: Action, images: Selection) -> tuple[Settled, float, float]:
    """Return the least and greatest finite value of all images, or 0, 1. Collective."""
    ends = np.array([np.inf, np.inf])  # the smallest value, and minus the largest

    def widen(first: int, batch: np.ndarray) -> None:
        values = batch[np.isfinite(batch)] if batch.dtype.kind == "f" else batch
        if values.size:
            ends[0] = min(ends[0], float(values.min()))
            ends[1] = min(ends[1], -float(values.max()))

    known = action.stream(images, widen)
    allreduce(action.comm, ends, MPI.MIN)
    found = (float(ends[0]), -float(ends[1])) if np.isfinite(ends).all() else (0.0, 1.0)
    return known, *found


def _save_pictures(
    action: Action,
    images: Selection,
    path: Path,
    kind: str,
    prefix: str,
    overwrite: bool,
    make: Callable[[], Write],
    options: object = None,
    beside: Callable[[Shape, np.dtype], dict[str, bytes]] | None = None,
) -> None:
    """Write one file for each image, named by its key. Collective.

    `make` returns what writes a file. It may run the steps: only once the output can be written.
    `beside` gives the small files that say what all images are.
    """
    comm, keys = action.comm, images.keys
    given, inputs, nodes = (prefix, options), images.source.inputs, action.session.nodes
    with staged(comm, path, kind, overwrite, action.name, given, inputs, nodes) as directory:
        write = make()
        pictures = PictureWriter(comm, directory, kind, prefix, int(keys[-1]))

        def write_batch(first: int, batch: np.ndarray) -> None:
            for i, image in enumerate(batch):
                file = pictures.path(int(keys[first + i]))
                with phase("write", image.nbytes), naming_file(file):
                    write(file, image)

        try:
            known = action.stream(images, write_batch)
            with phase("write"):
                pictures.finish(beside(known.dims, known.dtype) if beside else {})
        finally:
            pictures.close()
