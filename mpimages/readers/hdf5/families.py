"""Programs' ways to lay recordings out in HDF5: Imaris, BigDataViewer, NWB, Dectris.

Each is known by what stands at fixed places of the file. The layouts are published: Imaris 5.5
(Oxford Instruments), BigDataViewer's HDF5 (imagej.net), NWB 2 (nwb-schema), and NeXus as
Dectris' FileWriter fills it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...core.json_types import JsonObject
from ...core.text import shortened
from ...formats.output_names import HDF5_MARK
from ..options import Options
from ..page_order import choose_channel
from .links import LinkedFiles
from .sequence import PLACE

if TYPE_CHECKING:
    import h5py

# Times between images that differ less from their mean are taken for a constant rate.
EVEN = 0.1
# A dataset of more values is not one that describes a recording.
MOST_VALUES = 1 << 24

IMARIS = re.compile(r"/?DataSet/ResolutionLevel \d+/TimePoint [^/]+/Channel \d+/Data/?")
BDV = re.compile(r"/?t(?:\{t\}|\d+)/(s\d+)/\d+/cells/?")
DECTRIS = re.compile(r"data_\d+")
NWB_VERSION = "nwb_version"  # an attribute of the root
NWB_SERIES = ("ImageSeries", "OnePhotonSeries", "TwoPhotonSeries")
METRES = ("m", "meter", "meters", "metre", "metres")
MICROMETRES = ("micrometer", "micrometers", "micrometre", "micrometres", "micron", "microns", "um")


class Told(NamedTuple):
    """What a file says of its recording.

    Attributes
    ----------
    spacing : dict
        The extent of a pixel along Y, X and Z, where it is known.
    metadata, found : dict
        As in `Header`, but for the pixel size.
    """

    spacing: dict[str, float | None]
    metadata: JsonObject
    found: JsonObject


@dataclass(frozen=True)
class Family:
    """A recording whose layout is known.

    Attributes
    ----------
    dataset : str
        The dataset, or the pattern of those that follow each other.
    axes : str
        What its axes are. A Z of length 1 is left out.
    tell : callable
        Reads what the file says, of so many images.
    chooses : bool
        Whether channel= has chosen the dataset.
    extent : callable, optional
        How much of a dataset holds values: the rest is padding.
    unsigned : bool
        Whether int16 stands for uint16 here, bit by bit, as the file says.
    doubtful : bool
        Whether int16 may stand for uint16, so that dtype='uint16' settles it.
    """

    dataset: str
    axes: str
    tell: Callable[[int], Told]
    chooses: bool = False
    extent: Callable[[h5py.Dataset], tuple[int, ...]] | None = None
    unsigned: bool = False
    doubtful: bool = False


def recognise(files: LinkedFiles, options: Options) -> Family | None:
    """The layout of a file, as far as it is one of those that are known.

    Raises
    ------
    ValueError
        If the layout is known, but an argument must say what is meant.
    """
    for look in (_imaris, _bigdataviewer, _nwb, _dectris):
        found = look(files, options)
        if found is not None:
            return found
    return None


# -- Imaris --------------------------------------------------------------------------------


def _imaris(files: LinkedFiles, options: Options) -> Family | None:
    """Imaris 5.5: a dataset (Z, Y, X) for each time and channel, padded to whole chunks."""
    info, level = files.item("DataSetInfo"), files.item("DataSet/ResolutionLevel 0")
    if not (_is_group(info) and _is_group(level)):
        return None
    names: list[str] = []
    name = options.dataset
    if name is None:
        group = files.item("DataSet/ResolutionLevel 0/TimePoint 0")
        members = _members(group)
        found = (re.fullmatch(r"Channel (\d+)", member) for member in members)
        numbers = sorted(int(match[1]) for match in found if match)
        if not numbers:
            raise ValueError(
                f"{files.path}: Imaris' layout, but DataSet/ResolutionLevel 0/TimePoint 0 has no "
                "channel: the file is not complete"
            )
        if options.nchannels is not None:
            raise ValueError(
                f"{files.path}: nchannels={options.nchannels} means nothing for Imaris' layout, "
                f"which has {len(numbers)} channels apart; leave it out"
            )
        names = [_words(files, f"DataSetInfo/Channel {n}", "Name") or str(n) for n in numbers]
        told = names if len(names) > 1 else ()
        channel = numbers[choose_channel(files.path, len(numbers), options.channel, told)]
        name = f"DataSet/ResolutionLevel 0/TimePoint {PLACE}/Channel {channel}/Data"
    elif not IMARIS.fullmatch(name):
        return None

    def tell(count: int) -> Told:
        one = name.replace(PLACE, "0")
        found: JsonObject = {"channels": names} if names else {}
        version = _words(files, "DataSetInfo/Imaris", "Version")
        found["program"] = f"Imaris {version}".strip()
        times = [_words(files, "DataSetInfo/TimeInfo", f"TimePoint{i + 1}") for i in range(count)]
        start = times[0] or _words(files, "DataSetInfo/Image", "RecordingDate")
        if start:
            found["startTime"] = start
        metadata: JsonObject = {}
        interval = even_interval(_seconds(times))
        if interval is not None:
            metadata["frameInterval"] = interval
        unit = _words(files, "DataSetInfo/Image", "Unit")
        spacing = _imaris_spacing(files, files.dataset(one))
        if unit and spacing:
            metadata["unit"] = "µm" if unit in MICROMETRES else unit
        return Told(spacing, metadata, found)

    return Family(name, "ZYX", tell, options.dataset is None, _imaris_extent)


def _imaris_extent(dataset: h5py.Dataset) -> tuple[int, ...]:
    """The true extent of a dataset, by the attributes of its channel's group."""
    attributes = dataset.parent.attrs
    shape = []
    for letter, n in zip("ZYX", dataset.shape, strict=False):
        true = _number(_text(attributes.get(f"ImageSize{letter}")))
        shape.append(n if true is None else int(true))
    extent = tuple(shape)
    if len(extent) != dataset.ndim or any(
        not 0 < a <= n for a, n in zip(extent, dataset.shape, strict=False)
    ):
        raise ValueError(
            f"{dataset.file.filename}: dataset {dataset.name} has shape {dataset.shape}, but "
            f"ImageSizeZ, Y and X say {extent}: the file is damaged"
        )
    return extent


def _imaris_spacing(files: LinkedFiles, dataset: h5py.Dataset | None) -> dict[str, float | None]:
    if dataset is None:
        return {}
    spacing: dict[str, float | None] = {}
    for letter, n, axis in zip("ZYX", _imaris_extent(dataset), (2, 1, 0), strict=True):
        first, last = (
            _number(_words(files, "DataSetInfo/Image", f"Ext{end}{axis}")) for end in ("Min", "Max")
        )
        if first is not None and last is not None and last > first:
            spacing[letter] = (last - first) / n
    return spacing


def _seconds(times: list[str]) -> list[float]:
    """Points in time as Imaris writes them; none where one cannot be told."""
    try:
        return [datetime.fromisoformat(time).timestamp() for time in times]
    except ValueError:
        return []


# -- BigDataViewer -------------------------------------------------------------------------


def _bigdataviewer(files: LinkedFiles, options: Options) -> Family | None:
    """BigDataViewer: t00000/s00/0/cells (Z, Y, X), of each time, setup and resolution."""
    name = options.dataset
    match = None if name is None else BDV.fullmatch(name)
    if name is not None and match is None:
        return None
    members = [*files.file]
    setups = sorted(
        member
        for member in members
        if re.fullmatch(r"s\d{2,}", member) and files.item(f"{member}/resolutions") is not None
    )
    times = [member for member in members if re.fullmatch(r"t\d{5,}", member)]
    if not setups or not times:
        return None
    if name is None or match is None:
        one = f"dataset='t{PLACE}/{setups[0]}/0/cells'"
        raise ValueError(
            f"{files.path}: BigDataViewer's layout, {len(times)} times; setups, which are "
            f"channels, angles or tiles: {shortened(setups)}; {one} reads the first of "
            "them, image after image"
        )
    kind = _words(files, match[1], "dataType")

    def tell(count: int) -> Told:
        found: JsonObject = {"program": "BigDataViewer"}
        if not kind and options.dtype is None:
            found["uncertain"] = [
                "int16 stands for uint16 in most files of BigDataViewer; dtype='uint16' reads "
                "values above 32767 as such, which are negative else"
            ]
        return Told({}, {}, found)

    return Family(name, "ZYX", tell, unsigned=kind == "uint16", doubtful=not kind)


# -- NWB -----------------------------------------------------------------------------------


def _nwb(files: LinkedFiles, options: Options) -> Family | None:
    """NWB 2: a group of a type of image series, with data (time, x, y[, z])."""
    if NWB_VERSION not in files.file.attrs:
        return None
    name = options.dataset
    if name is None:
        name = _only_series(files)
    if name is None or PLACE in name:
        return None
    where = name.rstrip("/").removesuffix("/data")
    group = files.item(where)
    if not _is_group(group) or not _is_series(group):
        return None
    outside = _external(files, where)
    if outside:
        raise ValueError(
            f"{files.path}: {where} has no images, but names the files that do: "
            f"{shortened(outside)}; load these"
        )
    data = files.item(f"{where}/data")
    if data is None or _is_group(data) or data.ndim not in (3, 4):
        return None
    axes = "TXY" if data.ndim == 3 else "TXYZ"
    doubtful = options.axes is None and HDF5_MARK not in data.attrs
    if doubtful:
        _require_no_colour(files.path, where, group, data)
        _require_dimension(files, where, data, axes)

    def tell(count: int) -> Told:
        found: JsonObject = {"program": f"NWB {_text(files.file.attrs[NWB_VERSION])}"}
        if doubtful:
            found["uncertain"] = [
                f"{where}: its axes are read in the standard's order, (time, x, y); many programs "
                f"write (time, y, x), which axes={axes.replace('XY', 'YX')!r} reads"
            ]
        start = _nwb_text(files, "session_start_time")
        if start:
            found["startTime"] = start
        spacing, unit = _grid_spacing(files, where)
        metadata: JsonObject = {"unit": unit} if spacing else {}
        interval = _nwb_interval(files, where)
        if interval is not None:
            metadata["frameInterval"] = interval
        for key, plain in (("conversion", 1), ("offset", 0)):
            value = data.attrs.get(key)
            if isinstance(value, (float, int, np.number)) and value != plain:
                metadata[f"value{key.capitalize()}"] = float(value)
        meaning = _text(data.attrs.get("unit"))
        if meaning.lower() not in ("", "n.a.", "na", "unknown", "a.u."):
            metadata["valueUnit"] = meaning
        return Told(spacing, metadata, found)

    return Family(f"{where}/data", axes, tell)


def _is_series(item: Any) -> bool:
    return _is_group(item) and _text(item.attrs.get("neurodata_type")) in NWB_SERIES


def _only_series(files: LinkedFiles) -> str | None:
    """The image series in the acquisition whose images the file has; None where there is none."""
    group = _look_up(files, "acquisition")
    found = []
    if _is_group(group):
        found = [f"acquisition/{name}" for name in _groups_of(group, NWB_SERIES)]
    own = [name for name in found if not _external(files, name)]
    if len(own) > 1:
        shapes = (getattr(_look_up(files, f"{name}/data"), "shape", "") for name in own)
        listed = [f"{name} {shape}" for name, shape in zip(own, shapes, strict=True)]
        raise ValueError(
            f"{files.path}: has several image series: {shortened(listed)}; name one by dataset="
        )
    return own[0] if own else next(iter(found), None)


def has_traces_alone(files: LinkedFiles) -> bool:
    """Whether a file is NWB with traces of regions, and without series of images in it."""
    if NWB_VERSION not in files.file.attrs:
        return False
    return bool(_groups_of(files.file, ("RoiResponseSeries",))) and not _groups_of(
        files.file, NWB_SERIES
    )


def _groups_of(group: Any, kinds: tuple[str, ...]) -> list[str]:
    """The names, below a group, of the groups of these types of NWB."""
    found: list[str] = []

    def note(name: str, item: Any) -> None:
        if _is_group(item) and _text(item.attrs.get("neurodata_type")) in kinds:
            found.append(name)

    group.visititems(note)
    return found


def only_traces(files: LinkedFiles) -> str:
    """The dataset of the only RoiResponseSeries of an NWB file.

    Raises
    ------
    ValueError
        If there is none, or more than one.
    """
    found = [f"{name}/data" for name in _groups_of(files.file, ("RoiResponseSeries",))]
    if not found:
        raise ValueError(
            f"{files.path}: this NWB file has no RoiResponseSeries, and so no traces; loadImages "
            "reads images, and toSeries() makes series of them"
        )
    if len(found) > 1:
        raise ValueError(
            f"{files.path}: has several RoiResponseSeries: {shortened(found)}; name one by dataset="
        )
    return found[0]


def _external(files: LinkedFiles, where: str) -> list[str]:
    """The files that a series names, which has its images there."""
    if _nwb_text(files, f"{where}/format") not in ("external", ""):
        return []
    return [_text(name) for name in np.ravel(_values(files, f"{where}/external_file"))]


def _nwb_text(files: LinkedFiles, name: str) -> str:
    values = _values(files, name)
    return _text(values[()]) if values.shape == () else ""


def _require_no_colour(path: str, where: str, group: h5py.Group, data: h5py.Dataset) -> None:
    """Raise ValueError where the last axis may be one of colours: films of cameras are such."""
    if _text(group.attrs["neurodata_type"]) == "ImageSeries" and data.shape[3:] in ((3,), (4,)):
        raise ValueError(
            f"{path}: {where} has shape {data.shape}: its last axis may be of planes or colours; "
            "axes='TXYZ' reads volumes, axes='TYXC' with channel=0 one colour of rows and columns"
        )


def _require_dimension(files: LinkedFiles, where: str, data: h5py.Dataset, axes: str) -> None:
    """Raise ValueError where a series says the number of its pixels, and its data otherwise."""
    said = tuple(np.ravel(_values(files, f"{where}/dimension")).tolist())
    shape = data.shape[1 : 1 + len(said)]
    if len(said) > 1 and said[:2] == shape[1::-1] and said[:2] != shape[:2]:
        raise ValueError(
            f"{files.path}: {where} says that its images have {said} pixels along x and y, but "
            f"its data have shape {data.shape}; axes={axes.replace('XY', 'YX')!r} reads them with "
            f"the rows first, axes={axes!r} as the standard says"
        )


def _nwb_interval(files: LinkedFiles, where: str) -> float | None:
    """The time between two images, by the rate, or by time stamps that are even."""
    start = _look_up(files, f"{where}/starting_time")
    rate = None if start is None else _number(start.attrs.get("rate"))
    if rate and rate > 0:
        return _number(1 / rate)  # of the smallest rates it is infinite
    stamps = _values(files, f"{where}/timestamps")
    return (
        even_interval(stamps.tolist()) if stamps.ndim == 1 and stamps.dtype.kind in "fiu" else None
    )


def _grid_spacing(files: LinkedFiles, where: str) -> tuple[dict[str, float | None], str]:
    """The extent of a pixel by letter, and its unit, as the imaging plane says it."""
    name = f"{where}/imaging_plane/grid_spacing"
    values = np.ravel(_values(files, name))
    unit = _words(files, name, "unit") or "meters"
    factor = 1e6 if unit in METRES else 1.0
    if values.dtype.kind not in "fiu" or len(values) not in (2, 3):
        return {}, ""
    if not all(0 < float(v) * factor < np.inf for v in values):
        return {}, ""
    micro = unit in METRES or unit in MICROMETRES
    spacing = {letter: float(v) * factor for letter, v in zip("XYZ", values, strict=False)}
    return dict(spacing), "µm" if micro else unit


# -- Dectris -------------------------------------------------------------------------------


def _dectris(files: LinkedFiles, options: Options) -> Family | None:
    """A NeXus master of Dectris: entry/data/data_000001 and so on are links into other files."""
    import h5py

    pattern = f"entry/data/data_{PLACE}"
    if options.dataset not in (None, pattern, f"/{pattern}"):
        return None
    group = _look_up(files, "entry/data")
    if not _is_group(group):
        return None
    links = [name for name in group if DECTRIS.fullmatch(name)]
    others = set(group) - set(links)
    if not links or (options.dataset is None and others):
        return None
    if not isinstance(group.get(links[0], getlink=True), h5py.ExternalLink):
        return None

    def tell(count: int) -> Told:
        detector = "entry/instrument/detector"
        metadata: JsonObject = {}
        frame = _values(files, f"{detector}/frame_time")
        if frame.size == 1 and (_number(frame.item()) or 0) > 0:
            metadata["frameInterval"] = float(frame.item())
        spacing: dict[str, float | None] = {}
        for letter in "YX":
            size = _values(files, f"{detector}/{letter.lower()}_pixel_size")
            if size.size == 1 and _number(size.item()):
                spacing[letter] = float(size.item()) * 1e6
                metadata["unit"] = "µm"
        program = _nwb_text(files, f"{detector}/description")
        return Told(spacing, metadata, {"program": program} if program else {})

    return Family(pattern, "TYX", tell)


# -- what they have in common --------------------------------------------------------------


def _is_group(item: Any) -> bool:
    import h5py

    return isinstance(item, h5py.Group)


def _members(item: Any) -> list[str]:
    return list(item) if _is_group(item) else []


def _look_up(files: LinkedFiles, name: str) -> Any:
    """What a name stands for, where that is in files that may be read; else None."""
    try:
        return files.item(name)
    except ValueError:
        return None


def _values(files: LinkedFiles, name: str) -> np.ndarray:
    """The values of a small dataset; an empty array where there is none."""
    import h5py

    item = _look_up(files, name)
    if not isinstance(item, h5py.Dataset) or item.is_virtual or item.external:
        return np.empty(0)
    if (item.size or 0) > MOST_VALUES:
        return np.empty(0)
    files.require_readable(item)  # else the library might crash
    return np.asarray(item[()])


def _words(files: LinkedFiles, name: str, attribute: str) -> str:
    """An attribute's text; empty where there is none."""
    item = _look_up(files, name)
    return "" if item is None else _text(item.attrs.get(attribute))


def _text(value: object) -> str:
    """The text of an attribute; Imaris has an array of single characters."""
    if isinstance(value, np.ndarray):
        value = b"".join(value.ravel().tolist()) if value.dtype.kind == "S" else value
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return value.strip("\0 ") if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    """A finite number, or the number that a text is."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def even_interval(times: list[float]) -> float | None:
    """The time between points in time; None where it is not always about the same."""
    if len(times) < 2:
        return None
    steps = np.diff(np.asarray(times, dtype=np.float64))
    mean = float(steps.mean())
    even = mean > 0 and bool((np.abs(steps - mean) <= EVEN * mean).all())
    return mean if even else None
