"""The scratch file of images that are decoded or computed once, and then read in bands.

The scratch file is in the partial directory of the output, and is removed with it. Image number i
of the selection begins at i times the size of an image, with the bytes that it has in memory.
"""

from __future__ import annotations

import io
import os

import numpy as np

from .. import readers
from ..core.json_types import JsonObject
from ..core.timers import phase
from ..core.workspace import Workspace
from ..engine.runner import Action
from ..engine.selection import Settled
from ..engine.sources import FileSource, PathTable
from ..exchange.bands import FileBands
from ..formats.output_names import FRAMES, TEMPORARY
from ..writers.output.boxes import write_run
from ..writers.output.files import OutputFiles, naming_file
from ..writers.output.piece_sums import PieceSums
from ..writers.output.plain import sync_directory
from .resume import Progress

__all__ = ["frame_bands", "write_frames"]


def write_frames(action: Action, images: Settled, progress: Progress) -> str:
    """Run the steps once, and write each image into the scratch file. Collective.

    Images that an interrupted job has written are skipped.

    Returns
    -------
    str
        The path of the scratch file.
    """
    path = os.path.join(progress.stage.partial, FRAMES)
    size, header = images.record_bytes, _header(images)
    total = images.count * size

    def is_there(entry: JsonObject) -> bool:
        found = PieceSums(total)
        return all(
            found.add_stored(first * size, (stop - first) * size, path, start=len(header))
            for first, stop in entry["frames"]
        ) and found.took(entry["fragments"])

    with action.together():
        if action.comm.rank == 0:
            _prepare(path, header, len(header) + total)
    missing = progress.confirm("frames", is_there)[0].missing(images.count)
    if missing.count == 0:
        return path
    places = np.concatenate([np.arange(a, b) for a, b in missing])
    frames, sums = OutputFiles([path]), PieceSums(total)

    def flush() -> JsonObject:
        frames.sync()
        return {"fragments": sums.take().tolist()}

    recorder = progress.recorder("frames", flush)

    def keep(first: int, batch: np.ndarray) -> None:
        for place, image in zip(places[first:].tolist(), batch, strict=False):
            with (
                recorder.writing(place, place + 1),
                phase("write", image.nbytes),
                naming_file(path),
            ):
                write_run(frames.descriptor(0), len(header) + place * size, image)
                sums.add(place * size, image)

    try:
        action.stream(images.take(places), keep)
        with action.together():
            recorder.flush()
    finally:
        recorder.salvage()
        frames.close()
    return path


def _prepare(path: str, header: bytes, size: int) -> None:
    """Create the scratch file, or reuse that of an interrupted job. Local.

    It is renamed into place once its header is written. A file with another size or header is
    replaced.
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


def frame_bands(path: str, images: Settled, own: range, workspace: Workspace) -> FileBands:
    """Return bands of this rank's images in the scratch file. Local."""
    options = readers.Options(axes="TYX" if len(images.dims) == 2 else "TYXZ")
    reader = readers.get("npy")
    header = reader.inspect(path, options)
    source = FileSource(reader, options, header, PathTable([path]), np.array([images.count]))
    return FileBands.inside(source, own, workspace)


def _header(images: Settled) -> bytes:
    """Return the header of the scratch file, a .npy file, so that any version can read it."""
    stream = io.BytesIO()
    described = {
        "descr": images.dtype.newbyteorder("<").str,
        "fortran_order": False,
        "shape": (images.count, *images.dims),
    }
    np.lib.format.write_array_header_1_0(stream, described)
    return stream.getvalue()
