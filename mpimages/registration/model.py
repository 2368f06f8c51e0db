"""What a fit has found: by how much each image has moved against the reference."""

from __future__ import annotations

import io
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.arguments import check_choice
from ..core.json_types import JsonObject
from ..core.text import quote
from ..errors import FormatError, not_found
from ..formats.output_names import END_BYTES, REGISTRATION_END, with_registration_end
from ..formats.output_names import REGISTRATION_FORMAT as FORMAT
from ..formats.output_names import REGISTRATION_VERSION as VERSION
from ..writers.output.plain import check_path, save_value

if TYPE_CHECKING:
    from ..images import Images

__all__ = ["RegistrationModel", "as_bytes", "is_lost", "largest", "lengths"]

ENDINGS = (".json", ".npz")
ARRAYS = ("shifts", "quality", "keys", "reference", "rows", "columns", "numbers")


@dataclass(frozen=True, eq=False, repr=False)
class RegistrationModel:
    """The shifts of images against a reference. A value; all its methods but `transform` are local.

    Made by `Images.fitRegistration`.

    Attributes
    ----------
    shifts : (n, d) or (n, blocks, d) float64 ndarray
        By how many pixels what is seen in each image has moved along each axis, positive to
        higher indices. `applyRegistration` moves it back. Of method 'planar' a block is a plane;
        of 'piecewise' the blocks are nodes of a grid, (planes · rows · columns) in C order,
        between which the shift is interpolated. NaN where an image is lost.
    quality : (n,) float64 ndarray
        By how many standard deviations the peak of the correlation exceeds what is around it.
    keys : (n,) int64 ndarray
        The images' keys.
    dims : tuple of int
        Of the images.
    method : {'rigid', 'planar', 'piecewise'}
    reference : ndarray of dims, float64
        What the images were compared with.
    rows, columns : (r,) and (c,) float64 ndarray
        The grid of method 'piecewise', in pixels; else a node in the middle.
    numbers : (n, k) int64 ndarray
        Which images of the recording each one is, from 0: k is 1, or that of `timeBin`. By default
        the keys.
    """

    shifts: np.ndarray
    quality: np.ndarray
    keys: np.ndarray
    dims: tuple[int, ...]
    method: str
    reference: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    numbers: np.ndarray = None  # type: ignore[assignment]
    options: JsonObject = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.numbers is None:
            object.__setattr__(self, "numbers", np.reshape(self.keys, (-1, 1)))
        for name in ARRAYS:
            array = np.array(getattr(self, name))
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        _check(self)

    @property
    def lost(self) -> list[int]:
        """The keys of the images that could not be placed. Local."""
        return list(self._lost)

    @cached_property
    def _lost(self) -> list[int]:
        found: list[int] = self.keys[is_lost(self.shifts)].tolist()
        return found

    def toArray(self) -> np.ndarray:
        """The shifts, an array of its own. Local."""
        return self.shifts.copy()

    def transform(
        self,
        images: Images,
        fill: float | str = "edge",
        order: str = "linear",
        dtype: object = None,
        scale: float | Sequence[float] = 1.0,
    ) -> Images:
        """``images.applyRegistration(self, fill, order, dtype, scale)``. Collective; lazy."""
        return images.applyRegistration(self, fill, order, dtype, scale)

    def __repr__(self) -> str:
        most = largest(self.shifts)
        found = "none" if most is None else f"{most:.2f}"
        lost = self.lost
        few = ", ".join(map(str, lost[:5])) + (", ..." if len(lost) > 5 else "")
        return "\n".join(
            [
                type(self).__name__,
                f"method: {self.method}",
                f"images: {len(self.keys)} of dims {self.dims}",
                f"largest shift: {found} pixels",
                f"lost: {f'{len(lost)} ({few})' if lost else 'none'}",
            ]
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RegistrationModel):
            return NotImplemented
        return (self.dims, self.method) == (other.dims, other.method) and all(
            np.array_equal(getattr(self, name), getattr(other, name), equal_nan=True)
            for name in ARRAYS
        )

    __hash__ = None  # type: ignore[assignment]

    # -- on the disk -----------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write the model as JSON, or as NPZ where the name ends so.

        Local; several ranks may write the same. The file ends with the CRC-32 of its bytes, which
        `load` and `mpimages.verify` compare.

        Parameters
        ----------
        path : path
            Of the file: whole or absent. One with the same content stays as it is.
        overwrite : bool
            Replace another model.

        Raises
        ------
        FileExistsError
            Where there is another file; with `overwrite`, where it is no model.
        """
        where = check_path(path)
        save_value(where, as_bytes(self, where), overwrite, self.load, "registration model")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> RegistrationModel:
        """Read a model that `save` wrote. Local.

        Raises
        ------
        FormatError
            Where the file is damaged or no model.
        """
        from .finders import METHODS

        source = Path(check_path(path))
        if not source.is_file():
            raise not_found(str(source), f"{source}: no such file")
        try:
            values = _read(source)
            if values.get("format") != FORMAT:
                raise ValueError(f"it is no {FORMAT}")
            if values["version"] != VERSION:
                raise ValueError(
                    f"it has version {values['version']}, this program reads {VERSION}"
                )
            return cls(
                **{name: _array(name, values[name]) for name in ARRAYS},
                dims=tuple(int(n) for n in values["dims"]),
                method=check_choice(values["method"], "method", METHODS),
                options=dict(values["options"]),
            )
        except (ValueError, KeyError, TypeError, EOFError, OverflowError) as error:
            raise FormatError(f"{source}: not a registration model: {error}") from None


def as_bytes(model: RegistrationModel, path: str) -> bytes:
    """A model as the content of a file of this name. Local."""
    if not path.endswith(ENDINGS):
        raise ValueError(f"save: the name of a model ends in .json or .npz, got {quote(path)}")
    about = {"format": FORMAT, "version": VERSION, "method": model.method}
    about |= {"dims": list(model.dims), "options": model.options}
    arrays = {name: getattr(model, name) for name in ARRAYS}
    if path.endswith(".npz"):
        return _as_npz(np.array(json.dumps(about)), arrays)
    text = json.dumps(about | {name: _plain(a) for name, a in arrays.items()})
    return with_registration_end(f"{text[:-1]}, ".encode())


def is_lost(shifts: np.ndarray) -> np.ndarray:
    """Which images could not be placed, (n,) bool: those of which any shift is NaN."""
    lost: np.ndarray = np.isnan(shifts).any(axis=tuple(range(1, shifts.ndim)))
    return lost


def lengths(shifts: np.ndarray) -> np.ndarray:
    """How far each image has moved along rows and columns together, (n,); of blocks the mean shift.

    In pixels; NaN where a shift is.
    """
    whole = shifts if shifts.ndim == 2 else shifts.mean(axis=1)
    found: np.ndarray = np.sqrt((whole[:, :2] ** 2).sum(axis=1))
    return found


def largest(shifts: np.ndarray) -> float | None:
    """The largest of the `lengths`; None where all images are lost."""
    found = lengths(shifts)
    placed = found[~np.isnan(found)]
    return float(placed.max()) if len(placed) else None


def _plain(array: np.ndarray) -> Any:
    """Nested lists; NaN as None, because JSON has none."""
    if array.dtype.kind != "f" or not np.isnan(array).any():
        return array.tolist()
    values = array.astype(object)
    values[np.isnan(array)] = None
    return values.tolist()


def _array(name: str, values: Any) -> np.ndarray:
    kind = np.int64 if name in ("keys", "numbers") else np.float64
    return np.array(values, dtype=kind)


def _as_npz(about: np.ndarray, arrays: dict[str, Any]) -> bytes:
    """The bytes of an archive with their checksum, which is the archive's comment."""
    import zipfile

    file = io.BytesIO()
    np.savez(file, about=about, **arrays)
    comment = with_registration_end(b"{")
    with zipfile.ZipFile(file, "a") as archive:
        archive.comment = comment
    return with_registration_end(file.getvalue()[: 1 - len(comment)])


def _read(path: Path) -> Mapping[str, Any]:
    import zipfile

    content = path.read_bytes()
    _check_sum(content)
    found: dict[str, Any]
    if path.suffix != ".npz":
        found = json.loads(content)
        if not isinstance(found, dict):
            raise ValueError("it has no fields")
    else:
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                found = json.loads(str(file["about"])) | {name: file[name] for name in ARRAYS}
        except zipfile.BadZipFile as error:
            raise ValueError(str(error)) from None
    return found


def _check_sum(content: bytes) -> None:
    """Raise ValueError unless bytes end with their checksum. No reader sees others."""
    end = REGISTRATION_END.search(content[-END_BYTES:])
    if end is None:
        raise ValueError("it does not end with its checksum: it is cut off, changed, or no model")
    head = memoryview(content)[: len(content) - len(end[0])]
    if zlib.crc32(head) != int(end[1], 16):
        raise ValueError("its bytes do not have the checksum at its end")


def _check(model: RegistrationModel) -> None:
    """Raise ValueError where the parts of a model do not fit together."""
    n, dims = len(model.keys), model.dims
    nodes = len(model.rows) * len(model.columns)
    planes = dims[2] if len(dims) == 3 else 1
    axes = len(dims) if model.method == "rigid" else 2
    blocks = {"rigid": 1, "planar": planes, "piecewise": planes * nodes}[model.method]
    shape = (n, axes) if model.shifts.ndim == 2 else (n, blocks, axes)
    wrong = [
        name
        for name, is_right in (
            ("dims", len(dims) in (2, 3) and min(dims) > 0),
            ("shifts", model.shifts.shape == shape and (model.shifts.ndim == 3 or blocks == 1)),
            ("shifts", not np.isinf(model.shifts).any()),
            ("quality", model.quality.shape == (n,)),
            ("keys", bool((np.diff(model.keys) > 0).all())),
            ("numbers", model.numbers.ndim == 2 and len(model.numbers) == n),
            ("numbers", bool((np.diff(model.numbers.reshape(-1)) > 0).all())),
            ("reference", model.reference.shape == dims),
            ("rows and columns", model.rows.ndim == model.columns.ndim == 1 and nodes > 0),
            ("rows", bool((np.diff(model.rows) > 0).all())),
            ("columns", bool((np.diff(model.columns) > 0).all())),
        )
        if not is_right
    ]
    if wrong:
        raise ValueError(f"its {wrong[0]} do not fit the rest")
