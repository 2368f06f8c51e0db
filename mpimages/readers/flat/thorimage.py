"""ThorImage's raw recordings: ``Image_0001_0001.raw``, uint16, and ``Experiment.xml`` beside it.

Pages run with the channel the fastest, then the planes, those of the flyback at the end of each
volume included, then time.
"""

from __future__ import annotations

import os
from xml.etree import ElementTree

import numpy as np

from ...core.json_types import JsonObject
from ...errors import FormatError
from ..byte_ranges import LARGEST_CONF, open_file
from ..options import Options
from ..page_order import PageOrder
from .description import Description

STORED = np.dtype("<u2")
LETTERS = "ABCD"
STREAMING = 1  # as CaptureMode has it


def describe(path: str, description: str, options: Options) -> Description:
    """What Experiment.xml says of a recording. See `Description`."""
    said = _Experiment(description)
    given = options.dims is not None or options.shape is not None
    dims = (said.whole("LSM", "pixelY"), said.whole("LSM", "pixelX"))
    if 0 in dims and not given:
        raise FormatError(
            f"{description}: does not say the rows and columns of {path} by LSM's pixelY and "
            "pixelX; give shape=(rows, columns)"
        )
    streaming = said.is_streaming()
    fast = streaming and said.whole("Streaming", "zFastEnable") == 1
    stack = fast or (not streaming and said.whole("ZStage", "enable", 1) == 1)
    planes = max(1, said.whole("ZStage", "steps", 1)) if stack else 1
    flyback = said.whole("Streaming", "flybackFrames") if fast and planes > 1 else 0
    channels, names, sure = said.channels()
    times = said.whole("Timelapse", "timepoints")
    frames = said.whole("Streaming", "frames") if streaming else times * planes
    return Description(
        dims,
        STORED,
        order=PageOrder("CZT", channels, planes + flyback, tuple(range(planes, planes + flyback))),
        frames=frames,
        stoppable=sure,
        planeInterval=said.plane_interval() if streaming else 0.0,
        metadata=said.pixel_size(planes),
        found=said.found(names),
    )


class _Experiment:
    """The elements of an Experiment.xml."""

    def __init__(self, path: str) -> None:
        fd, size = open_file(path)
        with os.fdopen(fd, "rb") as file:
            content = file.read(min(size, LARGEST_CONF))
        try:
            if b"<!ENTITY" in content:
                raise ValueError("it defines entities")
            self._root = ElementTree.fromstring(content)
        except (ElementTree.ParseError, ValueError) as error:
            raise FormatError(
                f"{path}: not ThorImage's description, or damaged: {error}; give shape= and dtype="
            ) from None

    def text(self, element: str, name: str) -> str:
        """An attribute, empty where there is none."""
        found = self._root.find(f".//{element}")
        return "" if found is None else found.get(name, "").strip()

    def whole(self, element: str, name: str, default: int = 0) -> int:
        """An attribute that is a whole number from 0 on."""
        text = self.text(element, name)
        return int(text) if text.isdecimal() and len(text) < 10 else default

    def real(self, element: str, name: str) -> float:
        """An attribute that is a positive number; 0 where it is not."""
        try:
            value = float(self.text(element, name) or 0)
        except ValueError:
            return 0.0
        return value if 1e-9 < value < 1e9 else 0.0  # so that 1 / value is finite

    def is_streaming(self) -> bool:
        """Whether images follow each other without a pause, or each at a time that was set."""
        mode = self.text("CaptureMode", "mode")
        if mode:
            return mode == str(STREAMING)
        return self.whole("Streaming", "enable") == 1

    def channels(self) -> tuple[int, list[str], bool]:
        """How many were saved, their names, and whether all that is said of them agrees."""
        names = [wave.get("name", "") for wave in self._root.iterfind(".//Wavelengths/Wavelength")]
        bits = self.whole("LSM", "channel") or self.whole("ChannelEnable", "Set")
        if not bits:
            return max(1, len(names)), names, bool(names)
        count = bits.bit_count()
        if len(names) == count:
            return count, names, True
        letters = [f"Chan{letter}" for i, letter in enumerate(LETTERS) if bits >> i & 1]
        return count, letters if len(letters) == count else [], not names

    def plane_interval(self) -> float:
        """The time from plane to plane, in s."""
        rate = self.real("LSM", "frameRate")
        averaged = self.whole("LSM", "averageNum", 1) if self.whole("LSM", "averageMode") else 1
        return max(1, averaged) / rate if rate else 0.0

    def pixel_size(self, planes: int) -> JsonObject:
        """Of rows, columns and planes. What LSM's pixelSizeUM says is not that of the pixels."""
        row = self.real("LSM", "pixelHeightUM") or self._per_pixel("heightUM", "pixelY")
        column = self.real("LSM", "pixelWidthUM") or self._per_pixel("widthUM", "pixelX")
        if not (row or column):
            return {}
        plane = self.real("ZStage", "stepSizeUM") if planes > 1 else 0.0
        size = tuple(value or None for value in (row, column, plane))
        return {"pixelSize": size, "unit": "µm"}

    def _per_pixel(self, extent: str, pixels: str) -> float:
        count = self.whole("LSM", pixels)
        return self.real("LSM", extent) / count if count else 0.0

    def found(self, names: list[str]) -> JsonObject:
        """What people ask about. See `Header`."""
        told: JsonObject = {
            "program": f"ThorImage {self.text('Software', 'version')}".strip(),
            "channels": [name for name in names if name],
            "startTime": self.text("Date", "date"),
        }
        return {name: value for name, value in told.items() if value}
