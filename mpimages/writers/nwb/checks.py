"""Whether what users and recordings tell is all that NWB demands: nothing is made up. Local.

The names of arguments are those of `Images.saveAsNWB`; the keys of the mappings `device`, `subject`
and `general` are the standard's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from ...core.arguments import as_array, check_choice, check_number, check_positive, check_text
from ...core.json_types import JsonMapping
from ...core.text import quote
from ..calibration import Calibration
from .facts import Facts, Optics

__all__ = ["IMAGE_SERIES", "OPTICS", "check_facts"]

# The standard's types of series of images.
IMAGE_SERIES = ("TwoPhotonSeries", "OnePhotonSeries", "ImageSeries")
DEVICE = ("name", "description")
SUBJECT = (
    "subject_id", "age", "date_of_birth", "sex", "species", "genotype", "strain", "weight",
    "description",
)  # fmt: skip
TEXTS = (
    "data_collection", "experiment_description", "institution", "lab", "notes", "pharmacology",
    "protocol", "session_id", "slices", "stimulus", "surgery", "virus",
)  # fmt: skip
LISTS = ("experimenter", "keywords", "related_publications")
# Less is no wavelength in nm that an objective lets through, but one in another unit.
LEAST_LAMBDA = 10
SESSION = {
    "identifier": "a text that no other file has",
    "sessionDescription": "what was done, and what the file holds",
    "sessionStartTime": "a date and time with its time zone",
}
OPTICS = {
    "device": "the name of the microscope",
    "indicator": "such as 'GCaMP6f'",
    "location": "the area of the brain that was imaged",
    "excitationLambda": "the wavelength of excitation, in nm",
    "emissionLambda": "the wavelength of emission, in nm",
    "opticalChannel": "a description of the channel, such as its filter",
}


def check_facts(
    method: str, kind: str, called: str, metadata: JsonMapping, given: Mapping[str, Any]
) -> Facts:
    """The facts of a file, of the arguments of a method and the metadata of a recording.

    Parameters
    ----------
    method : str
        For messages.
    kind : str
        The type of the series, or of what holds the traces. All but 'ImageSeries' have an imaging
        plane.
    called : str
        The series' name, unless it is given.
    metadata : mapping
    given : mapping
        The arguments by their names; None: not given.

    Raises
    ------
    ValueError
        With the names of all that is missing; where a value cannot be true; for an argument that
        would have no effect.
    TypeError
        For values of other types.
    """
    check = _Check(method, given)
    has_plane = kind != "ImageSeries"
    if not has_plane:
        check.without_plane()
    calibration = Calibration.of(metadata)
    interval, stamps, offset = check.times(calibration.interval)
    spacing, spacing_unit = _spacing(calibration)
    facts = Facts(
        kind=kind,
        name=check.name("name") or called,
        description=check.text("description"),
        unit=check.text("unit") or "n.a.",
        identifier=check.text("identifier"),
        session=check.text("sessionDescription"),
        started=check.date("sessionStartTime"),
        created=check.date("fileCreateDate") or None,
        device=check.device(),
        optics=check.optics() if has_plane else None,
        spacing=spacing,
        spacing_unit=spacing_unit,
        interval=interval,
        stamps=stamps,
        offset=offset,
        subject=check.fields("subject", SUBJECT, ()),
        general=check.fields("general", TEXTS, LISTS),
    )
    missing = {name: why for name, why in SESSION.items() if given.get(name) is None}
    if interval is None and stamps is None:
        missing["frameInterval"] = "in seconds, or timestamps="
    optical = {name: why for name, why in OPTICS.items() if has_plane and given.get(name) is None}
    _refuse_missing(method, kind, missing, optical)
    return facts


def _date(value: object, name: str) -> str:
    """A date and time with a time zone, as ISO 8601."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(
                f"{name} must be a date and time as ISO 8601 has it, such as "
                f"'2026-03-01T14:30:00+01:00', got {quote(value)}"
            ) from None
    if not isinstance(value, datetime):
        raise TypeError(f"{name} must be a datetime or its ISO 8601 text, got {quote(value)}")
    offset = value.utcoffset()
    if offset is None:
        raise ValueError(
            f"{name} has no time zone, got {value.isoformat()}; with one it is such as "
            "'2026-03-01T14:30:00+01:00'"
        )
    # Neither RFC 3339 nor NWB's validator has more.
    if offset % timedelta(minutes=1):
        raise ValueError(
            f"{name} has a time zone that is not of whole minutes, got {value.isoformat()}; "
            "astimezone() of another zone gives the same time there"
        )
    return value.isoformat()


def _refuse_missing(
    method: str, kind: str, missing: Mapping[str, str], optical: Mapping[str, str]
) -> None:
    """Raise ValueError with all that is missing."""
    if not missing and not optical:
        return
    listed = "; ".join(f"{name}= ({why})" for name, why in {**missing, **optical}.items())
    message = (
        f"{method}: NWB demands what neither the arguments nor the recording tell. Give {listed}"
    )
    if optical and kind in IMAGE_SERIES:
        message += f". series='ImageSeries' does without {', '.join(optical)}"
    raise ValueError(message)


def _spacing(calibration: Calibration) -> tuple[tuple[float, ...], str]:
    """The distance of pixels along x, y and z, and its unit; empty where not all is known."""
    sizes = [size for size in calibration.sizes if size is not None]
    if len(sizes) != len(calibration.sizes) or len(sizes) not in (2, 3) or not calibration.unit:
        return (), ""
    named = {"um": "micrometers", "nm": "nanometers", "mm": "millimeters", "m": "meters"}
    unit = named.get(calibration.unit, calibration.unit)
    return (sizes[1], sizes[0], *sizes[2:]), unit


@dataclass(frozen=True)
class _Check:
    """Checks arguments one by one; empty, 0 or None where one was not given."""

    method: str
    given: Mapping[str, Any]

    def without_plane(self) -> None:
        """Raise ValueError where an argument is about an imaging plane."""
        found = [n for n in OPTICS if n != "device" and self.given.get(n) is not None]
        if found:
            raise ValueError(
                f"{self.method}: {', '.join(found)} would have no effect: an ImageSeries has no "
                "imaging plane; a TwoPhotonSeries or OnePhotonSeries has"
            )

    def text(self, name: str) -> str:
        value = self.given.get(name)
        return "" if value is None else _text(value, f"{self.method}: {name}")

    def name(self, name: str) -> str:
        value = self.text(name)
        return _object_name(value, f"{self.method}: {name}") if value else ""

    def date(self, name: str) -> str:
        value = self.given.get(name)
        return "" if value is None else _date(value, f"{self.method}: {name}")

    def optics(self) -> Optics:
        return Optics(
            indicator=self.text("indicator"),
            location=self.text("location"),
            excitation=self._wavelength("excitationLambda"),
            emission=self._wavelength("emissionLambda"),
            channel=self.text("opticalChannel"),
        )

    def _wavelength(self, name: str) -> float:
        value = self.given.get(name)
        if value is None:
            return 0.0
        number = check_number(value, f"{self.method}: {name}")
        if not LEAST_LAMBDA <= number < float("inf"):
            raise ValueError(
                f"{self.method}: {name} is a wavelength in nm, such as 920, got {quote(value)}"
            )
        return number

    def times(self, known: float | None) -> tuple[float | None, np.ndarray | None, float]:
        """The interval, the time stamps, and the time of key 0."""
        interval, stamps = self.given.get("frameInterval"), self.given.get("timestamps")
        start = self.given.get("startingTime")
        if stamps is not None:
            for name, value in (("frameInterval", interval), ("startingTime", start)):
                if value is not None:
                    raise ValueError(f"{self.method}: {name} has no effect beside timestamps")
            return None, self._stamps(stamps), 0.0
        offset = 0.0 if start is None else check_number(start, f"{self.method}: startingTime")
        if not np.isfinite(offset):
            raise ValueError(f"{self.method}: startingTime must be finite, got {quote(start)}")
        if interval is None:
            return known, None, offset
        seconds = check_positive(interval, f"{self.method}: frameInterval")
        if not np.isfinite(1 / seconds):
            raise ValueError(
                f"{self.method}: frameInterval={quote(interval)}: the rate, 1 / frameInterval, is "
                "infinite"
            )
        return seconds, None, offset

    def _stamps(self, given: object) -> np.ndarray:
        name = f"{self.method}: timestamps"
        values = as_array(given, name)
        if values.dtype.kind not in "iuf" or np.ma.is_masked(given):
            raise TypeError(f"{name} must be numbers of seconds, got {quote(given)}")
        stamps = np.array(values, dtype=np.float64)
        if stamps.ndim != 1 or not len(stamps) or not np.isfinite(stamps).all():
            raise ValueError(f"{name} must be one finite number for each image")
        if (np.diff(stamps) <= 0).any():
            raise ValueError(f"{name} must increase from image to image")
        return stamps

    def device(self) -> dict[str, str] | None:
        """The fields of the device; its name alone may be text."""
        value, name = self.given.get("device"), f"{self.method}: device"
        if value is None:
            return None
        if isinstance(value, str):
            return {"name": _object_name(_text(value, name), name)}
        found = self.fields("device", DEVICE, ())
        if "name" not in found:
            raise ValueError(f"{name} must have a 'name', got {quote(value)}")
        _object_name(found["name"], name)
        return found

    def fields(self, name: str, texts: Sequence[str], lists: Sequence[str]) -> dict[str, Any]:
        """The fields of a mapping, in the order of the standard's names here."""
        value, said = self.given.get(name), f"{self.method}: {name}"
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise TypeError(f"{said} must be a mapping, got {quote(value)}")
        known = (*texts, *lists)
        for field in value:
            check_choice(field, f"{said}: a field", known)
        found: dict[str, Any] = {}
        for field in known:
            if field not in value:
                continue
            one, called = value[field], f"{said}: {field}"
            if field in lists:
                found[field] = _texts(one, called)
            elif field == "date_of_birth":
                found[field] = _date(one, called)
            else:
                found[field] = _text(one, called)
        return found


def _text(value: object, name: str) -> str:
    text = check_text(value, name)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} is no Unicode text: {quote(value)}") from None
    return text


def _texts(value: object, name: str) -> list[str]:
    each = [value] if isinstance(value, str) else value
    if not isinstance(each, list | tuple) or not each:
        raise TypeError(f"{name} must be text, or a list of it, got {quote(value)}")
    return [_text(one, name) for one in each]


def _object_name(value: str, name: str) -> str:
    if any(mark in value for mark in "/\\:") or value in (".", ".."):
        raise ValueError(f"{name} names an object of NWB, without '/', '\\' and ':', got {value!r}")
    return value
