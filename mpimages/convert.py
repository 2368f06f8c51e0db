"""A collection to files: what `saveAs…` does between the chain and the writers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from mpi4py import MPI

from .budget import parse_size
from .chain import Chain
from .collective import Together, allreduce
from .sources import MemorySource
from .writers.commit import staged

if TYPE_CHECKING:
    from .images import Images
    from .series import Series

__all__ = [
    "refuse_for_now",
    "save_binary_series",
    "save_frames",
    "save_pngs",
    "save_series_hdf5",
    "save_tifs",
]

Path = str | os.PathLike


def refuse_for_now(**later: Any) -> None:
    """NotImplementedError for an argument whose part of the library is not there yet."""
    for name, value in later.items():
        if value is not None and value is not False:
            raise NotImplementedError(
                f"{name}={value!r}: this version writes uncompressed, in one go, and each rank "
                "holds its share of the images while it does; see README, Limits"
            )


# -- series --------------------------------------------------------------------------------


def save_binary_series(
    series: Series, path: Path, block_size: int | str, overwrite: bool, action: str
) -> None:
    """See `Series.saveAsBinarySeries`. Collective."""
    from .writers.binaryseries import BinarySeriesWriter

    comm = series._context.comm
    block_bytes = 0
    with Together(comm, action):
        block_bytes = parse_size(block_size)
    chain = known(series, series._whole(action), action)
    with staged(comm, path, "binaryseries", overwrite, action) as directory:
        writer = BinarySeriesWriter(
            comm, directory, (*_key_dims(series), _length(chain)), chain.dtype, _index(series),
            series.metadata, block_bytes,
        )
        _write_blocks(series, chain, writer, action)


def save_series_hdf5(
    series: Series, path: Path, dataset: str, layout: str, chunks: Any, overwrite: bool,
    action: str,
) -> None:
    """See `Series.saveAsHDF5`. Collective."""
    from .writers.hdf5 import Hdf5Writer

    comm = series._context.comm
    chain = known(series, series._whole(action), action)
    with staged(comm, path, "hdf5", overwrite, action) as file:
        writer = Hdf5Writer(
            comm, file, dataset, (*_key_dims(series), _length(chain)), chain.dtype, layout, chunks,
            _index(series), series.metadata,
        )
        _write_blocks(series, chain, writer, action)


def _write_blocks(series: Series, chain: Chain, writer: Any, action: str) -> None:
    """Stream the blocks into a writer and finish it. Collective."""
    try:
        series._stream(chain, action.split(".")[-1], writer.write)
        writer.finish()
    finally:
        writer.close()


def known(collection: Any, chain: Chain, action: str) -> Chain:
    """The chain, with dims and dtype known before anything is written. Collective.

    Where only running it can tell (a function whose result was not declared), this rank's
    share is computed and kept, so that the function is not called twice for a record.
    """
    if chain.dims is not None and chain.dtype is not None:
        return chain
    block, partition = collection._load(chain, action.split(".")[-1])
    assert chain.dims is not None
    assert chain.dtype is not None
    assert chain.keys is not None
    source = MemorySource(block, chain.dims, chain.dtype, partition)
    return Chain(source, range(partition.count), chain.keys)


def _key_dims(series: Series) -> tuple[int, ...]:
    dims = series.dims
    assert dims is not None
    return dims.count


def _length(chain: Chain) -> int:
    assert chain.dims is not None
    return chain.dims[0]


def _index(series: Series) -> np.ndarray:
    index = series.index
    assert index is not None
    return index


# -- images --------------------------------------------------------------------------------


def save_frames(
    images: Images, path: Path, dataset: str, chunks: Any, overwrite: bool, action: str
) -> None:
    """``saveAsHDF5`` of Images with layout 'images': no pixel leaves its rank. Collective."""
    from .writers.hdf5 import Hdf5Writer

    comm = images._context.comm
    chain = known(images, _records(images, action), action)
    assert chain.dims is not None
    with staged(comm, path, "hdf5", overwrite, action) as file:
        writer = Hdf5Writer(
            comm, file, dataset, (*chain.dims, chain.count or 0), chain.dtype, "images", chunks,
            chain.keys, images.metadata,
        )
        try:
            images._stream(
                chain, action.split(".")[-1],
                lambda first, batch: writer.write_images(first, np.ascontiguousarray(batch)),
            )
            writer.finish()
        finally:
            writer.close()


def save_tifs(images: Images, path: Path, prefix: str, overwrite: bool, action: str) -> None:
    """See `Images.saveAsTifs`. Collective."""
    from .writers.tif import write_tif

    chain = _records(images, action)
    if chain.dims is not None and len(chain.dims) not in (2, 3):
        raise ValueError(f"a TIFF holds images or volumes, not records of dims {chain.dims}")

    def write(file: str, image: np.ndarray) -> None:
        write_tif(file, np.ascontiguousarray(image), images.metadata)

    _save_pictures(images, chain, path, "tif", prefix, overwrite, action, write)


def save_pngs(
    images: Images, path: Path, prefix: str, overwrite: bool, options: dict[str, Any], action: str
) -> None:
    """See `Images.saveAsPngs`. Collective."""
    from .writers.png import ImshowMapping, write_png

    chain = _records(images, action)
    if chain.dims is not None and len(chain.dims) != 2:
        raise ValueError(f"{action} writes 2-D images, but these have dims {chain.dims}; "
                         "use planes() or a projection first")
    options = dict(options)
    if _scale_is_open(options):
        low, high = finite_range(images, chain, action)
        options["vmin"] = low if options["vmin"] is None else options["vmin"]
        options["vmax"] = high if options["vmax"] is None else options["vmax"]
    mapping: ImshowMapping | None = None
    if chain.dtype is not None:
        with Together(images._context.comm, action):  # a wrong option fails before any output
            mapping = ImshowMapping(chain.dtype, **options)

    def write(file: str, image: np.ndarray) -> None:
        nonlocal mapping
        if mapping is None:
            mapping = ImshowMapping(image.dtype, **options)
        write_png(file, image, mapping)

    _save_pictures(images, chain, path, "png", prefix, overwrite, action, write)


def _scale_is_open(options: dict[str, Any]) -> bool:
    """Whether neither the user nor the norm says what the two ends of the scale are."""
    norm = options["norm"]
    return any(
        options[end] is None and getattr(norm, end, None) is None for end in ("vmin", "vmax")
    )


def finite_range(images: Images, chain: Chain, action: str) -> tuple[float, float]:
    """The smallest and the largest finite value of all images; 0, 1 without any. Collective."""
    ends = np.array([np.inf, np.inf])  # the smallest value, and minus the largest

    def widen(first: int, batch: np.ndarray) -> None:
        values = batch[np.isfinite(batch)] if batch.dtype.kind == "f" else batch
        if values.size:
            ends[0] = min(ends[0], float(values.min()))
            ends[1] = min(ends[1], -float(values.max()))

    images._stream(chain, action.split(".")[-1], widen)
    allreduce(images._context.comm, ends, MPI.MIN)
    return (float(ends[0]), -float(ends[1])) if np.isfinite(ends).all() else (0.0, 1.0)


def _records(images: Images, action: str) -> Chain:
    """The settled chain of images of which there is one at least. Collective."""
    chain = images._settle(action.split(".")[-1])
    if chain.count == 0:
        raise ValueError(f"{action}: the collection has no records")
    return chain


def _save_pictures(
    images: Images, chain: Chain, path: Path, kind: str, prefix: str, overwrite: bool,
    action: str, write: Any,
) -> None:
    """One file for each image, named by its key. Collective."""
    from .writers.pictures import PictureWriter

    comm = images._context.comm
    keys = chain.keys
    assert keys is not None
    with staged(comm, path, kind, overwrite, action) as directory:
        pictures = PictureWriter(comm, directory, kind, prefix, int(keys[-1]))

        def write_batch(first: int, batch: np.ndarray) -> None:
            for i, image in enumerate(batch):
                write(pictures.path(int(keys[first + i])), image)

        images._stream(chain, action.split(".")[-1], write_batch)
        pictures.finish()
