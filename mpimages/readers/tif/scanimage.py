"""ScanImage's header: how many channels and slices were saved, page by page.

Since 2016 it is in the Software tag, before that in each page's ImageDescription.
https://docs.scanimage.org/Appendix/ScanImage+BigTiff+Specification.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_FIELD = r"^\s*(?:scanimage\.)?(?:SI\d*|state)\.(?:[\w.]*\.)?(?:%s) *= *(.*?)\s*$"


@dataclass(frozen=True)
class ScanImage:
    """What it says; 1 where it says nothing.

    Attributes
    ----------
    channels, slices, volumes : int
    """

    channels: int
    slices: int
    volumes: int

    def __str__(self) -> str:
        parts = [
            _counted(self.channels, "channel") + " saved",
            _counted(self.slices, "slice"),
            _counted(self.volumes, "volume"),
        ]
        return f"ScanImage: {', '.join(parts)}"


def read_scanimage(software: str, description: str) -> ScanImage | None:
    """What the first page's tags say; None where another program wrote them."""
    for text in (software, description.replace("\r", "\n")):
        if re.search(r"^\s*(?:scanimage\.)?(?:SI\d*|state)\.\w+", text, re.MULTILINE):
            saved = _field(text, "channelSave|channelsSave")
            channels = len(re.findall(r"\d+", saved)) or _number(text, "numberOfChannelsSave")
            return ScanImage(
                channels,
                _number(text, "actualNumSlices|numSlices|stackNumSlices|numberOfZSlices"),
                _number(text, "numVolumes|actualNumVolumes|fastZNumVolumes"),
            )
    return None


def _field(text: str, names: str) -> str:
    found = re.search(_FIELD % names, text, re.MULTILINE)
    return found[1] if found else ""


def _number(text: str, names: str) -> int:
    found = re.fullmatch(r"\d{1,9}", _field(text, names))
    return max(1, int(found[0])) if found else 1


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
