"""Movies in the headerless files of other programs: suite2p's folder, CaImAn's memory maps.

``conf.json`` beside the files is the mark of mpimages: it lists them with their checksums. It is no
part of either program's format, and neither looks at it.
"""

from __future__ import annotations

import io
import math
import os
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from mpi4py import MPI

from ..core.crc32 import crc32
from ..core.json_types import JsonObject
from ..dims import pixel_boxes
from ..formats.output_names import MOVIE_FORMAT, MOVIE_VERSION, mmap_file, plane_file
from .calibration import Calibration
from .flat import FlatLayout, FlatWriter, Run
from .output.plain import plain_metadata, write_small

__all__ = ["Movie", "MovieWriter", "mmap_movie", "suite2p_movie"]


@dataclass(frozen=True)
class Movie:
    """What is written.

    Attributes
    ----------
    program : {'suite2p', 'CaImAn'}
    dims : tuple of int
        Of the images, (row, column[, page]).
    layout : FlatLayout
        Of the values.
    index : (T,) int64 ndarray
        The images' keys.
    metadata : mapping
    small : dict
        The content of other files, by name.
    """

    program: str
    dims: tuple[int, ...]
    layout: FlatLayout
    index: np.ndarray
    metadata: Mapping[str, object]
    small: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class TurnedPixels(FlatLayout):
    """One file of pixels with all their times, in column-major order; blocks have them in C order.

    `dims` are those of an image.
    """

    dims: tuple[int, ...] = ()

    def runs(self, first: int, stop: int) -> Iterator[Run]:
        """See `FlatLayout`: pixels that lie below each other are a run."""
        done, size = 0, self.part_bytes
        for start, extent in pixel_boxes(self.dims, first, stop):
            rows, across = extent[0], math.prod(extent[1:])
            places = np.indices((1, *extent[1:])).reshape(len(extent), -1)
            corners = tuple(places + np.reshape(start, (-1, 1)))
            pixels = np.ravel_multi_index(corners, self.dims, order="F")
            for number, pixel in enumerate(pixels.tolist()):
                index = slice(done + number, done + rows * across, across)
                yield Run(0, pixel * size, rows * size, index)
            done += rows * across


class MovieWriter(FlatWriter):
    """Writes a `Movie` below an existing directory. See `FlatWriter`."""

    def __init__(
        self, comm: MPI.Intracomm, directory: str, movie: Movie, resume: bool = False
    ) -> None:
        self.movie = movie
        self._metadata = plain_metadata(dict(movie.metadata))
        super().__init__(comm, directory, movie.layout, resume)

    def _conf(self, pieces: dict[str, list[int]]) -> JsonObject:
        movie, layout = self.movie, self.layout
        for name, content in movie.small.items():
            write_small(os.path.join(self.directory, name), content)
            pieces[name] = [crc32(content)]  # less than one piece
        sizes = dict(zip(layout.names, layout.sizes(), strict=True))
        sizes |= {name: len(content) for name, content in movie.small.items()}
        return {
            "format": MOVIE_FORMAT,
            "version": MOVIE_VERSION,
            "program": movie.program,
            "dims": list(movie.dims),
            "dtype": layout.dtype.name,
            "index": movie.index.tolist(),
            "metadata": self._metadata,
            "files": [{"name": name, "bytes": size} for name, size in sorted(sizes.items())],
        }


def suite2p_movie(
    dims: tuple[int, ...],
    index: np.ndarray,
    metadata: Mapping[str, object],
    fs: float,
    tau: float | None,
) -> Movie:
    """A suite2p folder: for each plane ``data.bin``, int16, frame after frame, and ``ops.npy``."""
    planes = dims[2] if len(dims) == 3 else 1
    names = [plane_file(plane, "data.bin") for plane in range(planes)]
    count = len(index)
    layout = FlatLayout(names, count, dims, np.dtype(np.int16), count, planes)
    ops = pickled(_ops(dims, count, planes, Calibration.of(metadata), fs, tau))
    small = {plane_file(plane, "ops.npy"): ops for plane in range(planes)}
    return Movie("suite2p", dims, layout, index, metadata, small)


def _ops(
    dims: tuple[int, ...],
    count: int,
    planes: int,
    calibration: Calibration,
    fs: float,
    tau: float | None,
) -> dict[str, object]:
    """What suite2p must know of a plane that needs no registration; no path of this machine."""
    rows, columns = dims[:2]
    ops: dict[str, object] = {
        "nplanes": planes,
        "nchannels": 1,
        "functional_chan": 1,
        "fs": fs,
        "do_registration": 0,
        "Ly": rows,
        "Lx": columns,
        "nframes": count,
        "yrange": [0, rows],
        "xrange": [0, columns],
    }
    if tau is not None:
        ops["tau"] = tau
    down, across = (*calibration.sizes, None, None)[:2]
    if down and across:
        ops["aspect"] = across / down
    return ops


def pickled(values: dict[str, object]) -> bytes:
    """What ``numpy.save`` makes of a dict of plain values, the same bytes for every version.

    NumPy 2 has another name for the module of the function by which arrays are made again. The
    older one is known to both.
    """
    array = np.empty((), dtype=object)
    array[()] = values
    # Protocol 3 has names of functions in lines, and no lengths of what follows.
    content = pickle.dumps(array, protocol=3)
    content = content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    file = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": ()}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + content


def mmap_movie(
    base: str, order: str, dims: tuple[int, ...], index: np.ndarray, metadata: Mapping[str, object]
) -> Movie:
    """CaImAn's file, float32: records are images whose axes are reversed, or an image's pixels."""
    count, kind = len(index), np.dtype(np.float32)
    names = [mmap_file(base, dims, order, count)]
    layout = FlatLayout(names, count, dims[::-1], kind, count)
    if order == "C":
        pixels = math.prod(dims)
        layout = TurnedPixels(names, pixels, (count,), kind, pixels, dims=dims)
    return Movie("CaImAn", dims, layout, index, metadata)
