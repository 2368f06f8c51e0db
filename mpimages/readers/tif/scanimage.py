"""ScanImage's header: which channels and planes the pages are of, and which are flyback.

Since 2016 it is in the Software tag, or behind the file's head, before that in each page's
ImageDescription. A channel's page follows the other's, then come the planes of a volume, then
its flyback, which is in the file although it is called discarded.
https://docs.scanimage.org/Appendix/ScanImage+BigTiff+Specification.html
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace

from ...core.json_types import JsonObject
from ...errors import FormatError
from ..options import Options
from ..page_order import PageOrder
from .index import SCANIMAGE, TifIndex
from .plan import Plan, number, plan_table, sizes_found

_LINE = re.compile(r"^\s*((?:scanimage\.)?(?:SI\d*|state)\.[\w.()]+) *= *(.*?)\s*$", re.MULTILINE)
_SETTLE = (
    "; nchannels=, channel=, nplanes= (flyback counted) and flyback= say what its pages are, and "
    "nplanes=1 alone reads the frames as they lie"
)


_STACK = (
    "hStackManager.framesPerSlice", "hStackManager.numFramesPerVolume",
    "hStackManager.numFramesPerVolumeWithFlyback", "hFastZ.enable", "hFastZ.numFramesPerVolume",
    "hFastZ.discardFlybackFrames", "hFastZ.numDiscardFlybackFrames", "fastZEnable",
    "fastZDiscardFlybackFrames", "fastZNumDiscardFrames", "acqNumFrames", "acq.numberOfFrames",
)  # fmt: skip


@dataclass(frozen=True)
class ScanImage:
    """What it says; 1 where it says nothing.

    Attributes
    ----------
    fields : dict
        The header's values by their names without the program's.
    program : str
    channels : tuple of str
        The names of those saved.
    """

    fields: dict[str, str]
    program: str
    channels: tuple[str, ...]

    def __str__(self) -> str:
        parts = [
            _counted(len(self.channels), "channel") + " saved",
            _counted(self.slices, "slice"),
            _counted(self.volumes or 1, "volume"),
        ]
        return f"ScanImage: {', '.join(parts)}"

    def number(self, *names: str) -> float | None:
        """The value of the first of these fields that has one."""
        for name in names:
            value = number(self.fields.get(name))
            if value is not None:
                return value
        return None

    def count(self, *names: str) -> int:
        """As `number`, of a whole number from 1 on; 0 where there is none."""
        for name in names:
            if re.fullmatch(r"0*[1-9]\d{0,8}(\.0*)?", self.fields.get(name, "")):
                return int(float(self.fields[name]))
        return 0

    def says(self, *names: str) -> bool:
        """Whether one of these fields is set."""
        return any(self.fields.get(name, "").lower() in ("1", "true") for name in names)

    @property
    def fast(self) -> bool:
        """Whether the planes follow each other fast, volume after volume."""
        if self.says("hFastZ.enable", "fastZEnable"):
            return True
        unsaid = "fastZEnable" not in self.fields and "hFastZ.enable" not in self.fields
        return unsaid and (self.volumes > 1 or bool(self._turn))

    @property
    def slices(self) -> int:
        """How many planes there are."""
        off = self.fields.get("hStackManager.enable", "").lower() in ("0", "false")
        if off and not self.says("hFastZ.enable"):
            return 1  # what is said of slices is of an earlier recording
        many = self.count("hStackManager.actualNumSlices")
        if not many:
            many = self.count(
                "hStackManager.numSlices", "hStackManager.slicesPerAcq", "stackNumSlices",
                "acq.numberOfZSlices",
            )  # fmt: skip
            if self.says("hFastZ.enable"):
                depths = self.fields.get("hStackManager.zs", "")
                many = max(many, len(re.findall(r"[^\s\[\];,]+", depths)))
        return many or 1

    @property
    def volumes(self) -> int:
        """How many volumes there were to be; 0 where that is open."""
        names = (
            "hStackManager.actualNumVolumes", "hStackManager.numVolumes", "hFastZ.numVolumes",
            "fastZNumVolumes",
        )  # fmt: skip
        return self.count(*[name for name in names if name in self.fields][:1])

    @property
    def average(self) -> int:
        """Of how many frames a saved one is the average."""
        many = self.count(
            "hScan2D.logAverageFactor", "acqNumAveragedFrames", "acq.numAvgFramesSave"
        )
        if not many and self.says("acq.averaging"):
            many = self.count("acq.numberOfFrames")
        return many or 1

    @property
    def _turn(self) -> int:
        return self.count("hStackManager.numFramesPerVolumeWithFlyback")

    @property
    def turns(self) -> tuple[object, ...]:
        """What the order of the pages follows from, however many there are."""
        stack = self.slices > 1 or self.says("hFastZ.enable")
        said = [self.fields.get(name) for name in _STACK] if stack else []
        return (self.channels, self.slices, self.average, *said)

    def find_order(self, count: int) -> PageOrder:
        """How the pages take turns; ValueError where the header contradicts itself."""
        channels, slices = len(self.channels), self.slices
        # Of one slice, too, there is flyback where its volumes follow each other fast.
        flyback = self._flyback(count) if slices > 1 or self.says("hFastZ.enable") else 0
        if slices == 1 and not flyback:
            return PageOrder("CZT", channels, 1)
        repeats = self._repeats()
        if flyback and self.average > 1:
            raise ValueError(f"{self}, and averages over {self.average} frames with flyback")
        planes = slices + flyback
        return PageOrder("CZT", channels, planes, tuple(range(slices, planes)), repeats)

    def _repeats(self) -> int:
        """How many saved frames there are of a plane before the next."""
        names = ["hStackManager.framesPerSlice", "acqNumFrames", "acq.numberOfFrames"]
        if self.fast and not self._turn:
            return 1
        said = [self.fields[name] for name in names if self.fields.get(name)]
        frames = self.count(*names)
        if said and not frames:
            raise ValueError(f"{self}, but of each slice {said[0]} frames")
        repeats, left = divmod(max(1, frames), self.average)
        if left or not repeats:
            raise ValueError(
                f"{self}, and of each slice {frames} frames of which {self.average} are averaged"
            )
        return repeats

    def _flyback(self, count: int) -> int:
        """How many frames of flyback follow each volume."""
        slices = self.slices
        if self._turn:
            imaged = self.count("hStackManager.numFramesPerVolume")
            expected = slices * max(1, self.count("hStackManager.framesPerSlice"))
            if imaged not in (0, expected) or self._turn < expected:
                raise ValueError(
                    f"{self}, but volumes of {imaged or '?'} frames, and of {self._turn} with "
                    f"flyback"
                )
            return self._turn - expected
        if not self.fast:
            return 0
        whole = self.count("hFastZ.numFramesPerVolume")
        if whole:
            if whole < slices:
                raise ValueError(f"{self}, but volumes of {whole} frames")
            return whole - slices
        if self.says("hFastZ.discardFlybackFrames"):
            return self.count("hFastZ.numDiscardFlybackFrames")
        discarded = self.count("fastZNumDiscardFrames")
        if not discarded or not self.says("fastZDiscardFlybackFrames"):
            return 0
        # Of these versions it is not known for sure whether they are in the file.
        each = len(self.channels) * self.volumes
        fitting = [extra for extra in (0, discarded) if count == each * (slices + extra)]
        if len(fitting) != 1:
            raise ValueError(
                f"{self}, and {discarded} frames of flyback, which may be in the file or not: it "
                f"has {count} pages"
            )
        return fitting[0]

    def interval(self, order: PageOrder, options: Options, count: int) -> float | None:
        """The seconds from one image to the next, of a file of `count` pages."""
        rate = self.number(
            "hRoiManager.scanFrameRate", "scanFrameRate", "acq.frameRate"
        )  # of frames before they are averaged
        if not rate or rate <= 0:
            return None
        frame = self.average / rate
        if isinstance(options.nplanes, int):
            mixed = options.channel is None and order.channels > 1
            try:
                said = self.find_order(count)
            except ValueError:
                return None
            # Frames of a slow stack, or without those of flyback, are not evenly spaced in time.
            even = said.planes == 1 or (self.fast and not self._unsaved(said))
            return frame * options.nplanes if even and not mixed else None
        if options.nplanes is not None:
            return None
        if order.planes == 1:
            return frame
        if not self.fast or order.repeats > 1 or self.average > 1:
            return None
        volumes = self.number("hRoiManager.scanVolumeRate")
        if volumes and volumes > 0:
            return 1 / volumes
        return frame * (order.frames + self._unsaved(order))

    def _unsaved(self, order: PageOrder) -> int:
        """How many frames of flyback a volume takes beside those that are said to be saved."""
        many = self.says("fastZDiscardFlybackFrames") and not order.flyback
        return self.count("fastZNumDiscardFrames") if many else 0

    def begin(self, description: str) -> str:
        """When the recording began, as text."""
        frame = _fields(description)
        epoch = [number(part) for part in re.findall(r"[\d.]+", frame.get("epoch", ""))]
        if len(epoch) == 6 and None not in epoch:
            from datetime import datetime, timedelta

            year, month, day, hour, minute, second = (float(part or 0) for part in epoch)
            later = second + (number(frame.get("frameTimestamps_sec")) or 0)
            try:
                begin = datetime(int(year), int(month), int(day), int(hour), int(minute))
                return (begin + timedelta(seconds=later)).isoformat(timespec="milliseconds")
            except (ValueError, OverflowError):
                return ""
        for name in ("triggerClockTimeFirst", "internal.triggerTimeString"):
            if self.fields.get(name):
                return self.fields[name].strip("'\"")
        return ""


def read_scanimage(index: TifIndex) -> ScanImage | None:
    """What the first page's tags say; None where another program wrote them."""
    for text in (index.software, index.description.replace("\r", "\n")):
        if not SCANIMAGE.search(text):
            continue
        fields: dict[str, str] = {}
        version = ""
        for name, value in _LINE.findall(text):
            family, _, rest = name.removeprefix("scanimage.").partition(".")
            fields.setdefault(rest, value)
            version = version or family.removeprefix("SI").replace("state", "3")
        parts = (fields.get(f"VERSION_{part}", "").strip("'\"") for part in ("MAJOR", "MINOR"))
        version = ".".join(part for part in parts if part) or fields.get(
            "software.version", version
        )
        return ScanImage(fields, f"ScanImage {version}".strip(), _channels(fields))
    return None


def page_order(index: TifIndex, options: Options) -> PageOrder | None:
    """How the pages take turns by the header; None where there is none, or arguments overrule it.

    Raises
    ------
    ValueError
        If the header contradicts itself.
    """
    overruled = (options.nchannels, options.order, options.nplanes) != (None, None, None)
    header = None if overruled else read_scanimage(index)
    if header is None:
        return None
    order = header.find_order(index.count)
    if options.flyback is None or not order.flyback:
        return order
    if order.repeats > 1:
        raise ValueError(f"{header}, and of each slice {order.repeats} frames, but one of flyback")
    return replace(order, flyback=())


def plan_scanimage(path: str, index: TifIndex, options: Options) -> Plan | None:
    """The plan of a file with ScanImage's header; None where that says nothing of the pages.

    Raises
    ------
    FormatError
        If its last volume is not whole.
    ValueError
        If the header and the pages contradict each other, or a channel must be chosen.
    """
    header = read_scanimage(index)
    if header is None:
        return None
    channels = len(header.channels)
    try:
        order = page_order(index, options) or PageOrder("CZT", channels, 1)
        _require_one_region(header, index, options)
    except ValueError as error:
        raise ValueError(f"{path}: {error}{_SETTLE}") from None
    count = index.count
    if options.nplanes is None:
        _require_frames(path, header, index)
        _require_count(path, header, order, count)
        if order.whole(count) != count and not options.incomplete:
            raise FormatError(
                f"{path}: {header}, {order.cycle} pages to a volume: its {count} pages have "
                f"{count % order.cycle} left over{_SETTLE}"
            )
        count = order.whole(count)
    planes = order.planes - len(order.flyback)
    sizes = {"C": channels, "Z": planes, "T": -(-count // order.cycle) * order.repeats}
    if options.nplanes is not None:
        sizes = {"C": channels}
    metadata, found = _tell(header, index, order, options, sizes)
    plan = plan_table(
        Plan("scanimage", said=str(header), found=found),
        path, index.count, order.table(count), options, planes,
    )  # fmt: skip
    return replace(plan, metadata=metadata, order=None if options.nplanes is not None else order)


def describe_recording(
    index: TifIndex, order: PageOrder, options: Options
) -> tuple[JsonObject, JsonObject]:
    """`Header.metadata` and `Header.found` of a recording whose first file has this index.

    Raises
    ------
    ValueError
        If its pages have several regions.
    """
    header = read_scanimage(index)
    if header is None:
        return {}, {}
    _require_one_region(header, index, options)
    sizes = {"C": len(header.channels), "Z": order.planes - len(order.flyback)}
    return _tell(header, index, order, options, sizes)


def _tell(
    header: ScanImage, index: TifIndex, order: PageOrder, options: Options, sizes: dict[str, int]
) -> tuple[JsonObject, JsonObject]:
    """`Header.metadata` and `Header.found` of pages of so many channels, planes and times."""
    seconds = header.interval(order, options, index.count)
    begin = header.begin(index.description)
    found: JsonObject = {
        "program": header.program,
        "axes": sizes_found("CZT", sizes),
        "channels": list(header.channels),
    }
    found.update({"startTime": begin} if begin else {})
    return {} if seconds is None else {"frameInterval": seconds}, found


def _require_frames(path: str, header: ScanImage, index: TifIndex) -> None:
    """Raise ValueError where the first two pages are not of one frame, as channels are.

    Another program has taken pages out then, and left the header as it was.
    """
    numbers = [frame_number(text) for text in (index.description, index.second)]
    if len(header.channels) > 1 and all(numbers) and numbers[0] != numbers[1]:
        raise ValueError(
            f"{path}: {header}, but its first two pages are of the frames {numbers[0]} and "
            f"{numbers[1]}: another program has taken channels out of it{_SETTLE}"
        )


def frame_number(description: str) -> int:
    """The number of the frame that a page is of, from 1; 0 where it says none."""
    text = description.replace("\r", "\n")
    found = re.search(r"^\s*(?:frameNumbers?|Frame Number) *= *(\d{1,12})", text, re.MULTILINE)
    return int(found[1]) if found else 0


def _require_count(path: str, header: ScanImage, order: PageOrder, count: int) -> None:
    """Raise ValueError where there are more pages than the header has volumes for."""
    if order.planes > 1 and header.volumes and count > header.volumes * order.cycle:
        raise ValueError(
            f"{path}: {header}, {order.cycle} pages to a volume, but it has {count} pages{_SETTLE}"
        )


def _require_one_region(header: ScanImage, index: TifIndex, options: Options) -> None:
    """Raise ValueError where each page has several regions, one below the other."""
    if options.nplanes is not None or not header.says("hRoiManager.mroiEnable"):
        return
    try:
        group = json.loads(index.artist)["RoiGroups"]["imagingRoiGroup"]
        rois = group["rois"] if isinstance(group["rois"], list) else [group["rois"]]
        fields = [roi["scanfields"] for roi in rois]
        regions = sum(len(field) if isinstance(field, list) else 1 for field in fields)
    except (ValueError, TypeError, KeyError, RecursionError):
        regions = 0
    if regions != 1:
        raise ValueError(
            f"{header}, and {regions or 'several'} regions (mROI) whose strips lie one below the "
            f"other in each page, which are not taken apart"
        )


def _channels(fields: dict[str, str]) -> tuple[str, ...]:
    """The names of the channels that were saved."""
    saved = fields.get("hChannels.channelSave") or fields.get("channelsSave", "")
    numbers = re.findall(r"\d+", saved)
    if not numbers:
        names = [f"acq.savingChannel{k}" for k in range(1, 5)]
        numbers = [str(k) for k, name in enumerate(names, 1) if fields.get(name) == "1"]
    if not numbers:
        many = fields.get("acq.numberOfChannelsSave", "1")
        numbers = [str(k + 1) for k in range(int(many) if re.fullmatch(r"[1-9]\d?", many) else 1)]
    return tuple(f"Channel {k}" for k in numbers)


def _fields(text: str) -> dict[str, str]:
    lines = (line.partition("=") for line in text.splitlines())
    return {key.strip(): value.strip() for key, sign, value in lines if sign}


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
