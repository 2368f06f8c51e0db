"""Images to pictures: TIFF in their own dtype, one or a file for each; PNG to look at."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from mpi4py import MPI

from ..collection import Collection
from ..core.timers import phase
from ..engine.chain import Chain
from ..spmd.agreement import Together, allreduce
from ..writers.output.files import naming_file
from ..writers.output.staging import staged
from ..writers.pictures import PictureWriter
from ..writers.png import ImshowMapping, write_png
from ..writers.tif.images import write_tif
from ..writers.tif.stack import StackLayout, StackWriter

__all__ = ["save_pngs", "save_tif", "save_tifs"]

Path = str | os.PathLike


def save_tifs(
    images: Collection, chain: Chain, path: Path, prefix: str, overwrite: bool
) -> None:
    """See `Images.saveAsTifs`. Collective."""
    action = "saveAsTifs"
    if chain.dims is not None and len(chain.dims) not in (2, 3):
        raise ValueError(f"a TIFF holds images or volumes, not records of dims {chain.dims}")

    def write(file: str, image: np.ndarray) -> None:
        write_tif(file, np.ascontiguousarray(image), images.metadata)

    _save_pictures(images, chain, path, "tif", prefix, overwrite, action, write)


def save_tif(images: Collection, chain: Chain, path: Path, overwrite: bool) -> None:
    """See `Images.saveAsTif`. Collective."""
    action = "saveAsTif"
    comm = images._session.comm
    chain = images._known(chain, action)
    layout: StackLayout | None = None
    with Together(comm, images._name(action)):
        assert chain.dims is not None
        assert chain.dtype is not None
        assert chain.count is not None
        if len(chain.dims) not in (2, 3):
            raise ValueError(f"a TIFF holds images or volumes, not records of dims {chain.dims}")
        rows, columns, pages = (*chain.dims, 1)[:3]
        layout = StackLayout((chain.count, pages, rows, columns), chain.dtype, images.metadata)
    assert layout is not None
    with staged(comm, path, "tifstack", overwrite, images._name(action)) as file:
        writer = StackWriter(comm, file, layout)
        try:
            images._stream(chain, action, writer.write)
            writer.finish()
        finally:
            writer.close()


def save_pngs(
    images: Collection, chain: Chain, path: Path, prefix: str, overwrite: bool,
    options: dict[str, Any],
) -> None:
    """See `Images.saveAsPngs`. Collective."""
    action = "saveAsPngs"
    if chain.dims is not None and len(chain.dims) != 2:
        raise ValueError(f"{action} writes 2-D images, but these have dims {chain.dims}; "
                         "use planes() or a projection first")
    asked, options = options, dict(options)
    if _scale_is_open(options):
        low, high = _finite_range(images, chain, action)
        for end, found in (("vmin", low), ("vmax", high)):
            if options[end] is None and getattr(options["norm"], end, None) is None:
                options[end] = found
    mapping: ImshowMapping | None = None
    if chain.dtype is not None:
        with Together(images._session.comm, images._name(action)):
            mapping = ImshowMapping(chain.dtype, **options)  # a wrong option fails before output

    def write(file: str, image: np.ndarray) -> None:
        nonlocal mapping
        if mapping is None:
            mapping = ImshowMapping(image.dtype, **options)
        write_png(file, image, mapping)

    _save_pictures(images, chain, path, "png", prefix, overwrite, action, write, asked)


def _scale_is_open(options: dict[str, Any]) -> bool:
    """Whether neither the user nor the norm says what the two ends of the scale are."""
    norm = options["norm"]
    return any(
        options[end] is None and getattr(norm, end, None) is None for end in ("vmin", "vmax")
    )


def _finite_range(images: Collection, chain: Chain, action: str) -> tuple[float, float]:
    """The smallest and the largest finite value of all images; 0, 1 without any. Collective."""
    ends = np.array([np.inf, np.inf])  # the smallest value, and minus the largest

    def widen(first: int, batch: np.ndarray) -> None:
        values = batch[np.isfinite(batch)] if batch.dtype.kind == "f" else batch
        if values.size:
            ends[0] = min(ends[0], float(values.min()))
            ends[1] = min(ends[1], -float(values.max()))

    images._stream(chain, action, widen)
    allreduce(images._session.comm, ends, MPI.MIN)
    return (float(ends[0]), -float(ends[1])) if np.isfinite(ends).all() else (0.0, 1.0)


def _save_pictures(
    images: Collection, chain: Chain, path: Path, kind: str, prefix: str, overwrite: bool,
    action: str, write: Callable[[str, np.ndarray], None], options: object = None,
) -> None:
    """One file for each image, named by its key. Collective."""
    comm = images._session.comm
    keys = chain.keys
    assert keys is not None
    given = prefix, options
    with staged(comm, path, kind, overwrite, images._name(action), given) as directory:
        pictures = PictureWriter(comm, directory, kind, prefix, int(keys[-1]))

        def write_batch(first: int, batch: np.ndarray) -> None:
            for i, image in enumerate(batch):
                file = pictures.path(int(keys[first + i]))
                with phase("write", image.nbytes), naming_file(file):
                    write(file, image)

        try:
            images._stream(chain, action, write_batch)
            with phase("write"):
                pictures.finish()
        finally:
            pictures.close()
