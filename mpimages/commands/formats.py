"""The formats of outputs: the names that say them, what they hold, and the methods that write."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..core.json_types import JsonObject
from .options import TIF_ENDINGS

__all__ = ["BINARY", "CONVERSIONS", "HDF5", "NWB", "OME_ZARR", "SERIES", "Format", "is_hdf5"]

IMAGES, SERIES_LAYOUT = "images", "series"
BOTH = {layout: {"layout": layout} for layout in (IMAGES, SERIES_LAYOUT)}


@dataclass(frozen=True)
class Format:
    """A format of outputs.

    Attributes
    ----------
    name : str
        As `--to` and answers for programs have it.
    words : str
        What messages call an output of it.
    method : str
        Which writes it.
    layouts : dict
        How values can lie in it, and the arguments of the method that say so.
    takes : frozenset of str
        The options that mean something, by the names of their arguments.
    endings : tuple of str
        Of names that say it, in lower case.
    kind : str
        What the writers call such an output.
    dtype : str or None
        Of all values in it; None: that of what is written.
    usual : str or None
        The layout by default; None: that of what is written, if it can be.
    of_series : bool
        Whether Series have the method, too.
    is_file : bool
        Whether OUT is a file.
    """

    name: str
    words: str
    method: str
    layouts: dict[str, JsonObject]
    takes: frozenset[str]
    endings: tuple[str, ...] = ()
    kind: str = ""
    dtype: str | None = None
    usual: str | None = None
    of_series: bool = False
    is_file: bool = False

    def is_named(self, out: str) -> bool:
        """Whether OUT has a name of this format. Local."""
        return bool(self.endings) and out.lower().rstrip("/").endswith(self.endings)


HDF5 = Format(
    "hdf5",
    "HDF5",
    "saveAsHDF5",
    BOTH,
    frozenset({"layout", "chunks", "compression", "resume"}),
    (".h5", ".hdf5"),
    kind="hdf5",
    of_series=True,
    is_file=True,
)
ZARR = Format(
    "zarr",
    "Zarr",
    "saveAsZarr",
    BOTH,
    frozenset({"layout", "chunks", "shards", "compression", "levels", "version", "resume"}),
    (".zarr",),
    kind="zarr",
    of_series=True,
)
OME_ZARR = replace(
    ZARR,
    name="ome-zarr",
    words="OME-Zarr",
    layouts={IMAGES: BOTH[IMAGES]},
    takes=ZARR.takes - {"layout"},
    endings=(".ome.zarr",),
)
NWB = Format(
    "nwb",
    "NWB",
    "saveAsNWB",
    {IMAGES: {}},
    frozenset({"nwb", "nwb_file", "chunks", "compression", "resume"}),
    (".nwb",),
    kind="nwb",
    is_file=True,
)
MATLAB = Format(
    "matlab",
    "MATLAB's file",
    "saveAsMatlab",
    {IMAGES: {}},
    frozenset({"compression", "resume"}),
    (".mat",),
    kind="matlab",
    is_file=True,
)
TIF = Format(
    "tif",
    "one TIFF",
    "saveAsTif",
    {IMAGES: {}},
    frozenset(),
    TIF_ENDINGS,
    kind="tifstack",
    is_file=True,
)
SUITE2P = Format(
    "suite2p",
    "suite2p's folder",
    "saveAsSuite2p",
    {IMAGES: {}},
    frozenset({"fs", "tau", "resume"}),
    kind="suite2p",
    dtype="int16",
)
MMAP = Format(
    "mmap",
    "CaImAn's memory map",
    "saveAsMmap",
    {SERIES_LAYOUT: {"order": "C"}, IMAGES: {"order": "F"}},
    frozenset({"layout", "resume"}),
    kind="mmap",
    dtype="float32",
    usual=SERIES_LAYOUT,
)
BINARY = Format(
    "binary",
    "a binary series",
    "saveAsBinarySeries",
    {SERIES_LAYOUT: {}},
    frozenset({"file_size", "resume"}),
    kind="binaryseries",
    of_series=True,
)
# What to-series and process write, and what convert does. The last is that of all other names.
SERIES = (HDF5, ZARR, BINARY)
CONVERSIONS = (OME_ZARR, ZARR, HDF5, NWB, MATLAB, TIF, SUITE2P, MMAP, BINARY)


def is_hdf5(out: str) -> bool:
    """Whether OUT has the name of an HDF5 file. Local."""
    return HDF5.is_named(out)
