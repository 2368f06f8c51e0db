"""What NWB is to say of a recording: checked, and never invented. Local.

The names of arguments are those of `Images.saveAsNWB`; the keys of the mappings `device`, `subject`
and `general` are the standard's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from ...core.arguments import as_array, check_choice, check_number, check_text
from ...core.json_types import JsonMapping
from ...core.text import quote
from ..calibration import Calibration

__all__ = ["IMAGE_SERIES", "Facts", "Optics", "Timing", "check_date", "check_facts"]

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
OPTICS = {
    "device": "the name of the microscope",
    "indicator": "such as 'GCaMP6f'",
    "location": "the area of the brain that was imaged",
    "excitationLambda": "the wavelength of excitation, in nm",
    "emissionLambda": "the wavelength of emission, in nm",
    "opticalChannel": "a description of the channel, such as its filter",
}


@dataclass(frozen=True)
class Timing:
    """When images were taken, in seconds after the start of the session.

    Attributes
    ----------
    start : float
        Of the first image.
    interval : float or None
        Between two images; None: see `stamps`.
    stamps : (T,) float64 ndarray or None
        Where the images are not evenly spaced.
    """

    start: float
    interval: float | None
    stamps: np.ndarray | None = None


@dataclass(frozen=True)
class Optics:
    """An imaging plane and its channel. Attributes are as the arguments of `Images.saveAsNWB`."""

    indicator: str
    location: str
    excitation: float
    emission: float
    channel: str


@dataclass(frozen=True)
class Facts:
    """All that NWB is to say beside the values, and when the images were taken.

    Attributes
    ----------
    kind : str
        The type of the series; of traces the type of what holds them.
    name, description, unit : str
        Of the series; an empty description: none.
    identifier, session, started : str
        `started` is an ISO 8601 text with a time zone.
    created : str or None
        When the file was created; None: when the output was begun.
    device : mapping or None
    optics : Optics or None
    spacing : tuple of float
        The distance of pixels along x, y and z; empty where it or its unit is unknown.
    spacing_unit : str
    interval : float or None
        Between images whose keys differ by one.
    stamps : (T,) float64 ndarray or None
        Given instead.
    offset : float
        The time of key 0, in seconds after the start of the session.
    subject, general : mapping
    """

    kind: str
    name: str
    description: str
    unit: str
    identifier: str
    session: str
    started: str
    created: str | None
    device: Mapping[str, str] | None
    optics: Optics | None
    spacing: tuple[float, ...]
    spacing_unit: str
    interval: float | None
    stamps: np.ndarray | None
    offset: float
    subject: Mapping[str, str]
    general: Mapping[str, str | list[str]]

    def timing(self, keys: np.ndarray, method: str) -> Timing:
        """When images with these keys were taken.

        Raises
        ------
        ValueError
            Where there are not as many time stamps as images, or the keys are no times.
        """
        if self.stamps is not None:
            if len(self.stamps) != len(keys):
                raise ValueError(
                    f"{method}: timestamps has {len(self.stamps)} values for {len(keys)} images"
                )
            return Timing(float(self.stamps[0]), None, self.stamps)
        if self.interval is None:
            raise RuntimeError("internal error: NWB without any times")
        steps = np.diff(keys) if keys.ndim == 1 else np.zeros(1)
        if (steps <= 0).any():
            raise ValueError(
                f"{method}: the index of the values does not increase, and so tells no times; give "
                "timestamps="
            )
        start = self.offset + float(keys[0]) * self.interval
        if len(set(steps.tolist())) > 1:
            return Timing(start, None, self.offset + keys * self.interval)
        step = int(steps[0]) if len(steps) else 1
        return Timing(start, step * self.interval)


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
        without = [name for name in OPTICS if name != "device" and given.get(name) is not None]
        if without:
            raise ValueError(
                f"{method}: {', '.join(without)} would have no effect: an ImageSeries has no "
                "imaging plane; a TwoPhotonSeries or OnePhotonSeries has"
            )
    calibration = Calibration.of(metadata)
    texts = {name: check.text(name) for name in ("identifier", "sessionDescription", "description")}
    started, created = check.date("sessionStartTime"), check.date("fileCreateDate")
    interval, stamps, offset = check.times(calibration.interval)
    device = check.device()
    optics = {
        "indicator": check.text("indicator"),
        "location": check.text("location"),
        "excitation": check.wavelength("excitationLambda"),
        "emission": check.wavelength("emissionLambda"),
        "channel": check.text("opticalChannel"),
    }
    name, unit = check.name("name"), check.text("unit")
    subject = check.fields("subject", SUBJECT, ())
    general = check.fields("general", TEXTS, LISTS)
    missing = {
        "identifier": "a text that no other file has",
        "sessionDescription": "what was done, and what the file holds",
        "sessionStartTime": "a date and time with its time zone",
    }
    missing = {name: why for name, why in missing.items() if given.get(name) is None}
    if interval is None and stamps is None:
        missing["frameInterval"] = "in seconds, or timestamps="
    optical = {name: why for name, why in OPTICS.items() if has_plane and given.get(name) is None}
    _refuse_missing(method, kind, missing, optical)
    spacing, spacing_unit = _spacing(calibration)
    return Facts(
        kind=kind,
        name=name or called,
        description=texts["description"] or "",
        unit=unit or "n.a.",
        identifier=texts["identifier"] or "",
        session=texts["sessionDescription"] or "",
        started=started or "",
        created=created,
        device=device,
        optics=Optics(**optics) if has_plane else None,  # type: ignore[arg-type]
        spacing=spacing,
        spacing_unit=spacing_unit,
        interval=interval,
        stamps=stamps,
        offset=offset,
        subject=subject,
        general=general,
    )


def check_date(value: object, name: str) -> str:
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
    if value.tzinfo is None or value.utcoffset() is None:
        raise ValueError(
            f"{name} has no time zone, got {value.isoformat()}; with one it is such as "
            "'2026-03-01T14:30:00+01:00'"
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
    """Checks arguments one by one; None where one was not given."""

    method: str
    given: Mapping[str, Any]

    def text(self, name: str) -> str | None:
        value = self.given.get(name)
        return None if value is None else _text(value, f"{self.method}: {name}")

    def name(self, name: str) -> str | None:
        value = self.text(name)
        return None if value is None else _object_name(value, f"{self.method}: {name}")

    def date(self, name: str) -> str | None:
        value = self.given.get(name)
        return None if value is None else check_date(value, f"{self.method}: {name}")

    def wavelength(self, name: str) -> float | None:
        value = self.given.get(name)
        if value is None:
            return None
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
        number = check_number(interval, f"{self.method}: frameInterval")
        if not 0 < number < float("inf"):
            raise ValueError(
                f"{self.method}: frameInterval must be a number of seconds above 0, got "
                f"{quote(interval)}"
            )
        return number, None, offset

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
                found[field] = check_date(one, called)
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
