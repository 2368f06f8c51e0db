"""Images on their way through the disk: decoded or computed once, then read in bands.

The scratch file stands in the partial directory of the output and goes with it. Image number i
of the selection lies at i times an image's size, as it is in memory.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import readers
from ..core.timers import phase
from ..core.workspace import Workspace
from ..engine.chain import Chain
from ..engine.runner import Streamed
from ..engine.sources import FileSource, PathTable
from ..formats.output_names import FRAMES, TEMPORARY
from ..spmd.agreement import Together
from ..writers.output.boxes import write_run
from ..writers.output.files import OutputFiles, naming_file
from ..writers.output.piece_sums import PieceSums
from ..writers.output.plain import sync_directory
from .bands import FileBands
from .resume import Progress

__all__ = ["frame_bands", "write_frames"]


def write_frames(
    images: Streamed, chain: Chain, progress: Progress, memory: int, action: str
) -> str:
    """Run the chain once, and put each image into the scratch file. Collective.

    Images that an interrupted job has put there already are left out.

    Returns
    -------
    str
        The scratch file.
    """
    comm = images._session.comm
    path = os.path.join(progress.stage.partial, FRAMES)
    assert chain.dims is not None
    assert chain.dtype is not None
    assert chain.count is not None
    size = math.prod(chain.dims) * chain.dtype.itemsize
    header, total = _header(chain), chain.count * size

    def is_there(entry: Mapping[str, Any]) -> bool:
        found = PieceSums(total)
        return all(
            found.add_stored(first * size, (stop - first) * size, path, start=len(header))
            for first, stop in entry["frames"]
        ) and found.took(entry["fragments"])

    with Together(comm, action):
        if comm.rank == 0:
            _prepare(path, header, len(header) + total)
    missing = progress.confirm("frames", is_there)[0].missing(chain.count)
    if missing.count == 0:
        return path
    places = np.concatenate([np.arange(a, b) for a, b in missing])
    frames, sums = OutputFiles([path]), PieceSums(total)

    def flush() -> dict[str, Any]:
        frames.sync()
        return {"fragments": sums.take().tolist()}

    recorder = progress.recorder("frames", flush)

    def keep(first: int, batch: np.ndarray) -> None:
        for place, image in zip(places[first:].tolist(), batch, strict=False):
            with recorder.writing(place, place + 1), phase("write", image.nbytes), \
                    naming_file(path):
                write_run(frames.descriptor(0), len(header) + place * size, image)
                sums.add(place * size, image)

    try:
        images._stream(chain.select(places), action, keep, memory=memory)
        with Together(comm, action):
            recorder.flush()
    finally:
        recorder.give_up()
        frames.close()
    return path


def _prepare(path: str, header: bytes, size: int) -> None:
    """Let the scratch file be there with its header; what an interrupted job put in stays. Local.

    It gets its name when it has its header. What is there and is not as it should be is made anew.
    """
    if os.path.lexists(path):
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size == size and file.read(len(header)) == header:
                return
    temporary = path + TEMPORARY
    with open(temporary, "wb") as file, naming_file(temporary):
        file.truncate(size)
        file.write(header)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_directory(os.path.dirname(path))


def frame_bands(
    path: str, chain: Chain, own: range, workspace: Workspace
) -> FileBands:
    """Bands of this rank's images in the scratch file. Local."""
    options = readers.Options(axes="TYX" if len(chain.dims or ()) == 2 else "TYXZ")
    reader = readers.get("npy")
    header = reader.inspect(path, options)
    source = FileSource(reader, options, header, PathTable([path]), np.array([chain.count]))
    return FileBands.inside(source, own, workspace)


def _header(chain: Chain) -> bytes:
    """The scratch file is an array as NumPy stores them, so that any version can read it."""
    assert chain.dims is not None
    assert chain.dtype is not None
    stream = io.BytesIO()
    described = {"descr": chain.dtype.newbyteorder("<").str, "fortran_order": False,
                 "shape": (chain.count, *chain.dims)}
    np.lib.format.write_array_header_1_0(stream, described)
    return stream.getvalue()
