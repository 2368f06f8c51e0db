"""HDF5: a movie in one dataset, or in several.

Contiguous datasets without filters are read past the HDF5 library, straight from their
place in the file: the library would take its global lock for each read.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

from ...formats.output_names import HDF5_SIGNATURE
from ..array_axes import require_kind
from ..base import Handle, Header, Reader, Scratch
from ..flat.array import scratch_bytes
from ..options import Options
from .datasets import read_metadata
from .families import Told
from .links import LeadsOut, LinkedFiles
from .opening import as_format_error
from .recording import find_recording, open_recording, part_of, require_alike


class Hdf5Reader(Reader):
    """The reader of HDF5 files: a movie or an image each."""

    name = "hdf5"
    signatures = (HDF5_SIGNATURE,)
    signature_places = (0, *(1 << power for power in range(9, 24)))  # behind a block of the user's
    takes = frozenset(
        {"dims", "dtype", "nplanes", "nchannels", "order", "flyback", "channel", "dataset", "axes",
         "follow", "incomplete"}
    )  # fmt: skip

    def inspect(self, path: str, options: Options) -> Header:
        try:
            return _inspect(path, options)
        except LeadsOut as error:
            said = str(error)
        following = replace(options, follow="directory")
        try:
            _inspect(path, following)
        except (OSError, ValueError):
            raise ValueError(said) from None
        raise ValueError(f"{said}; follow='directory' reads it from there")

    def open(
        self, path: str, options: Options, header: Header, scratch: Scratch | None = None
    ) -> Handle:
        files = LinkedFiles(path, follow=options.follow)
        try:
            with as_format_error(path):
                found = find_recording(files, options)
                header.require(path, found.dims, found.first.dtype)
                if not self.multiple(options, header):
                    header.require_count(path, found.count)
            return open_recording(files, found, header, scratch)
        except BaseException:
            files.close()
            raise

    def count(self, path: str, options: Options, header: Header) -> int:
        if options.follow is not None:
            _refuse_twice(path, options, header)
        return super().count(path, options, header)

    def scratch_bytes(self, header: Header) -> int:
        return scratch_bytes(header)


def _inspect(path: str, options: Options) -> Header:
    with LinkedFiles(path, follow=options.follow) as files, as_format_error(path):
        found = find_recording(files, options)
        first = found.first
        told = Told({}, {}, {}) if found.family is None else found.family.tell(len(found.names))
        metadata = {**told.metadata, **read_metadata(first.dataset)}
        layout = {"axes": first.axes, "grain": found.grain}
        if found.chunk is not None:
            layout["chunk"] = found.chunk
        if found.in_turn:
            layout["axes"] = "T" + first.axes.replace("T", "")
            if first.count > 1 and found.family is not None and "T" not in found.family.axes:
                # That of the volumes, which are cut here.
                metadata.pop("frameInterval", None)
        dims, dtype, count = found.dims, first.dtype, found.count
        if told.spacing:
            steps = tuple(told.spacing.get(axis) for axis in "YXZ"[: len(dims)])
            metadata.setdefault("pixelSize", steps)
        axes = first.axis_sizes
        if found.in_turn:
            axes = {**axes, "T": count}
        for name in found.names[1:-1]:
            files.release()
            require_alike(found, name, part_of(files, found, name))
        if files.followed:
            layout["followed"] = _state_of(files.followed)
            layout["leads_to"] = sorted({os.path.realpath(other) for other in files.followed})
    require_kind(path, dims, dtype, options)
    if "pixelSize" in metadata and len(metadata["pixelSize"]) != len(dims):
        del metadata["pixelSize"]
    return Header(path, dims, dtype, count, metadata, layout, {"axes": axes, **told.found})


def _refuse_twice(path: str, options: Options, header: Header) -> None:
    """Refuse a file together with one that it leads to: images would be there twice."""
    own = _inspect(path, options).layout.get("leads_to", ())
    for master, part, others in (
        (path, header.path, own),
        (header.path, path, header.layout.get("leads_to", ())),
    ):
        if os.path.realpath(part) in others:
            raise ValueError(
                f"{master}: leads to {part}, which is loaded by itself as well; load the one that "
                "leads to the others alone, by its name"
            )


def _state_of(paths: Sequence[str]) -> str:
    """What tells whether other files have changed, for the fingerprint of a job."""
    said = []
    for path in paths:
        status = os.stat(path)
        said.append((os.path.basename(path), status.st_size, status.st_mtime_ns))
    return sha256(repr(said).encode("utf-8", "surrogateescape")).hexdigest()[:16]
