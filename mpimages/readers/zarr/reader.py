"""Zarr: a movie in one array, alone or in a group, as OME-Zarr has it."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...core.arguments import image_dtype
from ...core.json_types import JsonObject
from ...errors import FormatError
from ...formats.output_names import zarr_mark
from ...formats.zarr.array import ZarrArray
from ..array_axes import LEFT_OUT, array_axes, image_shape, own_channel, require_kind, takes_turns
from ..base import Handle, Header, Reader, Scratch
from ..chunked_array import ArrayPlan, ChunkedHandle, chunk_grain, open_images, plan_array
from ..flat.array import BAND_BYTES
from ..hdf5.datasets import plain_metadata
from ..listing import is_zarr_document, stored_in
from ..options import Options
from ..page_handle import page_grain
from .ome import calibration, description
from .store import Found, find_array
from .values import ArrayFiles, ZarrValues, read_together

LETTERS = {"t": "T", "time": "T", "c": "C", "channel": "C", "z": "Z", "y": "Y", "x": "X"}
LETTERS |= {"page": "Z", "row": "Y", "column": "X"}  # as `mpimages.open` and HDF5 call them
# What climate and forecast conventions (CF) call the numbers that give stored values a meaning.
PACKED = (("scale_factor", "valueConversion", 1), ("add_offset", "valueOffset", 0))
# No recording has more images: an array may claim any number, as its chunks need not be there.
MOST_IMAGES = 1 << 28


@dataclass(frozen=True)
class Recording:
    """What is read of a directory.

    Attributes
    ----------
    found : Found
    letters : str
        Those of the array's axes, as they are stored.
    plan : ArrayPlan
    """

    found: Found
    letters: str
    plan: ArrayPlan

    @property
    def array(self) -> ZarrArray:
        return self.found.array

    @property
    def inner_grain(self) -> int:
        """How many of the images, or pages, are stored together."""
        return chunk_grain(
            self.array.shape, read_together(self.array), self.plan.shape, self.plan.axes
        )

    @property
    def grain(self) -> int:
        pages = self.plan.pages
        return self.inner_grain if pages is None else page_grain(pages, self.inner_grain)


class ZarrReader(Reader):
    """The reader of Zarr: of a recording, the file is the document that describes the directory."""

    name = "zarr"
    sparse = True
    takes = frozenset(
        {"dims", "dtype", "nplanes", "nchannels", "order", "flyback", "channel", "dataset", "axes",
         "incomplete"}
    )  # fmt: skip

    def recognises(self, path: str) -> bool:
        return is_zarr_document(path)

    def inspect(self, path: str, options: Options) -> Header:
        recording = find_recording(path, options)
        plan, array = recording.plan, recording.array
        require_kind(path, plan.dims, plan.dtype, options)
        layout = {
            "axes": plan.axes,
            "grain": recording.grain,
            "decoded": 0 if array.codecs.plain else array.codecs.nbytes,
            "array": recording.found.name,
        }
        chunk = plan.image_chunk(read_together(array))
        if chunk is not None:
            layout["chunk"] = chunk
        found = {"axes": plan.axis_sizes, **description(recording.found.attributes)}
        return Header(path, plan.dims, plan.dtype, plan.count, _metadata(recording), layout, found)

    def open(
        self, path: str, options: Options, header: Header, scratch: Scratch | None = None
    ) -> Handle:
        if path == header.path and header.layout["array"]:
            options = replace(options, dataset=header.layout["array"])
        recording = find_recording(path, options)
        plan = recording.plan
        header.require(path, plan.dims, plan.dtype)
        if not self.multiple(options, header):
            header.require_count(path, plan.count)
        scratch = Scratch() if scratch is None else scratch

        def open_inner(own: Header) -> Handle:
            found = recording.found
            values = ZarrValues(found.directory, found.array, scratch, found.whole)
            return ZarrHandle(path, own, values, plan.shape, plan.axes, scratch, plan.channel)

        return open_images(path, plan, header, scratch, recording.inner_grain, open_inner)

    def scratch_bytes(self, header: Header) -> int:
        return max(header.image_bytes, BAND_BYTES)

    def beside(self, path: str, options: Options, header: Header) -> Sequence[str]:
        found = find_recording(path, options).found
        return ArrayFiles(found.directory, found.array)

    def stored_bytes(self, path: str) -> int:
        return stored_in(os.path.dirname(path) or ".")


class ZarrHandle(ChunkedHandle):
    """The images of an array of Zarr. See `Handle`."""

    def unwritten(self, start: int, stop: int) -> dict[str, int]:
        self._check_range(start, stop)
        if not isinstance(self.array, ZarrValues):
            raise AssertionError("made of another array")
        first, extent = self.region(start, stop)
        # A chunk of several images counts with its first one.
        found = self.array.missing(first, [a + n for a, n in zip(first, extent, strict=True)])
        return {"chunks": found} if found else {}


def find_recording(path: str, options: Options) -> Recording:
    """Which array is read, and how. `path` is that of a document of Zarr."""
    if not is_zarr_document(path):
        raise FormatError(
            f"{path}: is no zarr.json, .zarray or .zgroup, which stand for a directory of Zarr"
        )
    found = find_array(os.path.dirname(path) or ".", options.dataset, options.axes)
    array, where = found.array, found.called
    dtype = image_dtype(array.dtype, f"{where}: dtype")
    shape = array.shape
    if len(shape) < 2 or any(n < 1 for n in shape):
        raise ValueError(f"{where}: has no images: its shape is {shape}")
    letters = None if options.axes is not None else axis_letters(found)
    axes = _axes(where, shape, letters, own_channel(options), options)
    plan = plan_array(where, shape, axes, array.dtype, options)
    if plan.count > MOST_IMAGES:
        raise FormatError(f"{where}: claims {plan.count} images: it is damaged")
    check_size(where, "an image", math.prod(plan.dims) * dtype.itemsize)
    return Recording(found, letters or axes, plan)


def check_size(where: str, what: str, nbytes: int) -> None:
    """Refuse an array that claims more bytes of something than there can be."""
    if nbytes >= 1 << 48:
        raise FormatError(f"{where}: claims {what} of {nbytes} bytes: it is damaged")


def axis_letters(found: Found, needed: str = "YX") -> str | None:
    """The letters of the axes by their names; None where these say nothing.

    `needed` are those that there must be.

    Raises
    ------
    ValueError
        If they say something, but not which axes an image has.
    """
    array = found.array
    names = array.names or array.attributes.get("_ARRAY_DIMENSIONS")
    if found.level is not None:
        names = found.level.names
        if len(names) != len(array.shape):
            raise FormatError(
                f"{found.called}: has {len(array.shape)} axes, but its multiscales name "
                f"{len(names)}"
            )
    if not isinstance(names, (list, tuple)) or len(names) != len(array.shape):
        return None
    known = [LETTERS.get(name.lower()) if isinstance(name, str) else None for name in names]
    if not any(known):
        return None
    letters = "".join(
        letter or (LEFT_OUT if n == 1 else "?")
        for letter, n in zip(known, array.shape, strict=True)
    )
    several = any(letters.count(letter) > 1 for letter in "TZCYX")
    if "?" in letters or several or not set(needed) <= set(letters):
        told = ", ".join(str(name) for name in names)
        raise ValueError(
            f"{found.called}: the names of its axes, {told}, do not say which are T, Z, C, Y and "
            f"X of its shape {array.shape}: say it by axes="
        )
    return letters


def _axes(
    where: str, shape: tuple[int, ...], letters: str | None, channel: int | None, options: Options
) -> str:
    """As `array_axes` gives it."""
    if options.axes is not None or letters is None:
        return array_axes(where, shape, options.axes, channel)
    length = dict(zip(letters, shape, strict=True))
    if (options.nplanes is not None or takes_turns(options)) and length.get("T") == 1:
        letters = letters.replace("T", LEFT_OUT)  # what is cut is one volume of pages
    kept = [n for n, letter in zip(shape, letters, strict=True) if letter != LEFT_OUT]
    named = iter(array_axes(where, kept, letters.replace(LEFT_OUT, ""), channel))
    axes = "".join(letter if letter == LEFT_OUT else next(named) for letter in letters)
    # An axis of one page is no volume, as in OME-TIFF.
    return axes.replace("Z", LEFT_OUT) if image_shape(shape, axes)[1][2:] == (1,) else axes


def _metadata(recording: Recording) -> JsonObject:
    """What is known of the images' pixels and times."""
    found, plan = recording.found, recording.plan
    metadata: JsonObject = {}
    if found.level is not None and len(recording.letters) == len(found.level.scale):
        axes = "YXZ"[: len(plan.dims)]
        metadata = calibration(found.level, recording.letters, axes)
    own = own_metadata(found.attributes)
    if found.level is not None and found.level.path != "0":  # pixels of another size
        own = {key: value for key, value in own.items() if key not in ("pixelSize", "unit")}
    metadata |= own
    for name, key, plain in PACKED:
        value = recording.array.attributes.get(name)
        if isinstance(value, (float, int)) and not isinstance(value, bool) and value != plain:
            metadata[key] = value
    if "pixelSize" in metadata and len(metadata["pixelSize"]) != len(plan.dims):
        del metadata["pixelSize"]
    return metadata


def own_metadata(attributes: JsonObject) -> JsonObject:
    """The metadata that mpimages wrote."""
    return plain_metadata(zarr_mark({"attributes": attributes}).get("metadata"))
