"""Images to the headerless files of other programs."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..core.json_types import JsonObject
from ..engine.narrowing import Narrow
from ..engine.runner import Action, Records
from ..engine.selection import Selection, Settled
from ..formats.output_names import CONF, MOVIE_FORMAT
from ..writers.output.plain import read_object
from ..writers.output.stripes import stripe_bytes
from .complete import OTHERWISE, Stored
from .resume import Progress
from .saving import (
    Content,
    Saving,
    Stripes,
    Target,
    check_planar,
    save_output,
    stream_into,
    write_series,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..writers.movies import Movie, MovieWriter
    from ..writers.output.staging import Stage

__all__ = ["save_mmap", "save_suite2p"]


def save_suite2p(
    action: Action,
    images: Selection,
    metadata: JsonObject,
    target: Target,
    fs: float,
    tau: float | None,
) -> None:
    """See `Images.saveAsSuite2p`. Collective."""
    from ..writers.movies import suite2p_movie

    known = action.known(_with(images, Narrow("saveAsSuite2p", np.dtype(np.int16))))
    check_planar(action, known.dims)
    index = np.array(known.keys, dtype=np.int64)
    movie = suite2p_movie(known.dims, index, metadata, fs, tau)
    options = {"fs": fs, "tau": tau}
    _save_movie(action, known, "suite2p", movie, (*known.dims, known.count), options, target)


def save_mmap(
    action: Action,
    images: Records,
    series: Records | None,
    metadata: JsonObject,
    target: Target,
    base: str,
) -> None:
    """See `Images.saveAsMmap`; of `series`, those of the images, or else of images. Collective."""
    from ..writers.movies import mmap_movie

    settled = images.settle(action)
    if settled.count == 0:
        raise ValueError(f"{action.name}: the collection has no records")
    index, kind = np.array(settled.keys, dtype=np.int64), np.dtype(np.float32)
    if series is None:
        known = action.known(_with(settled, Narrow("saveAsMmap", kind, turned=True)))
        dims, shape = known.dims[::-1], known.dims
    else:
        narrow = Narrow("saveAsMmap", kind, images=index)
        known = action.known(_with(series.settle(action), narrow))
        dims = shape = images.dims or ()
    check_planar(action, dims)
    order = "F" if series is None else "C"
    movie = mmap_movie(base, order, dims, index, metadata)
    options = {"base": base, "order": order}
    _save_movie(action, known, "mmap", movie, (*shape, settled.count), options, target)


def _with(records: Selection, step: Narrow) -> Selection:
    """Return a selection with one more step. Local."""
    return replace(records, steps=(*records.steps, step)).describe()


def _save_movie(
    action: Action,
    records: Settled,
    kind: str,
    movie: Movie,
    shape: tuple[int, ...],
    options: JsonObject,
    target: Target,
) -> None:
    from ..writers.movies import MovieWriter

    def make(stage: Stage, way: str, besides: Callable[[], None]) -> MovieWriter:
        with action.together():
            writer = MovieWriter(action.comm, stage.output, movie, stage.resumed)
            besides()
        return writer

    def write(saving: Saving, writer: MovieWriter, progress: Progress) -> None:
        if len(movie.layout.record) == 1:  # a pixel with all times
            write_series(saving, writer, progress)
        else:
            stream_into(saving, writer, (writer.write, writer.grain), progress)

    def check(path: str) -> bool:
        names = {one["name"] for one in _described(path)["files"]}
        same = names == {*movie.layout.names, *movie.small}
        for name, written in movie.small.items() if same else ():
            with open(os.path.join(path, name), "rb") as file:
                same = same and file.read() == written
        if not same:
            raise FileExistsError(
                f"{path} is complete, but was written with other arguments; {OTHERWISE}"
            )
        return True

    content = Content(shape, movie.index, dict(movie.metadata), {})
    options = {**options, **content.options(records.dtype)}
    stripes = Stripes(stripe_bytes(), 0)
    saving = Saving(
        action, records, kind, options, target, movie.index, check, stripes, opened=_open_movie
    )
    save_output(saving, make, write)


def _open_movie(path: str, options: JsonObject) -> Stored:
    """Return what a directory of `MovieWriter` holds. Local."""
    conf = _described(path)
    dims, count, dtype = conf["dims"], len(conf["index"]), np.dtype(conf["dtype"])
    mapped = conf["program"] == "CaImAn"
    names = [one["name"] for one in conf["files"] if not one["name"].endswith(".npy")]
    names.sort(key=lambda name: (len(name), name))
    by_pixel = mapped and "_order_C_" in names[0]
    shape = [*(reversed(dims) if mapped and not by_pixel else dims), count]
    columns = count if by_pixel else int(np.prod(dims)) // len(names)
    files = [_mapped(path, name, dtype, columns) for name in names]

    def read(pixels: np.ndarray, times: np.ndarray) -> np.ndarray:
        if by_pixel:
            stored = np.ravel_multi_index(np.unravel_index(pixels, dims), dims, order="F")
            found: np.ndarray = files[0][stored][:, times]
            return found
        parts = len(files)
        return np.array([files[pixel % parts][times, pixel // parts] for pixel in pixels.tolist()])

    return Stored(shape, str(dtype), np.array(conf["index"], dtype=np.int64), read)


def _described(path: str) -> JsonObject:
    conf = read_object(path, CONF)
    if conf.get("format") != MOVIE_FORMAT:
        raise FileExistsError(f"{path} is complete, but is another kind of output; {OTHERWISE}")
    return conf


def _mapped(path: str, name: str, dtype: np.dtype, columns: int) -> np.ndarray:
    stored = dtype.newbyteorder("<")
    mapped: np.ndarray = np.memmap(os.path.join(path, name), stored, "r").reshape(-1, columns)
    return mapped
