"""Formats of microscopes that a library reads, a plane at a time, by the letters of its axes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np

from ...core.arguments import image_dtype
from ...core.json_types import JsonObject
from ...core.timers import phase
from ...errors import FormatError
from ..array_axes import require_kind
from ..base import Handle, Header, Reader, Scratch
from ..options import Options
from ..page_order import choose_channel

# Of so many scenes the names are told.
NAMES_TOLD = 10


@dataclass(frozen=True)
class Scene:
    """One recording of a file, as its library has it.

    Attributes
    ----------
    sizes : dict
        The letter of each axis, and its length: Y, X, and T, Z, C where there are several; those
        of other letters are of length 1, or the scene is refused.
    dtype : numpy.dtype
    read : callable
        The plane (row, column) with the numbers T, Z and C.
    metadata, found : dict
        As in `Header`; the pixel size is that of volumes.
    """

    sizes: dict[str, int]
    dtype: np.dtype
    read: Callable[[int, int, int], np.ndarray]
    metadata: JsonObject = field(default_factory=dict)
    found: JsonObject = field(default_factory=dict)

    def size(self, axis: str) -> int:
        """The length of an axis, 1 where there is none."""
        return self.sizes.get(axis, 1)

    @property
    def dims(self) -> tuple[int, ...]:
        """The shape of an image."""
        planes = self.size("Z")
        return (self.size("Y"), self.size("X")) + ((planes,) if planes > 1 else ())


class LibraryReader(Reader):
    """A reader of what a library reads.

    Attributes
    ----------
    library : str
        What is imported, where a file is opened.
    """

    takes = frozenset({"channel", "dataset"})
    library: str

    @abstractmethod
    def open_library(self, library: Any, path: str) -> Any:
        """The file as its library opens it; it has a method `close`."""

    @abstractmethod
    def scene_names(self, file: Any) -> list[str]:
        """The names of the scenes of an open file."""

    @abstractmethod
    def scene(self, file: Any, number: int) -> Scene:
        """One of the scenes of an open file."""

    def inspect(self, path: str, options: Options) -> Header:
        with self._guard(path):
            file = self._open(path)
        try:
            scene = self._choose(path, file, options)
            choose_channel(path, scene.size("C"), options.channel)
        finally:
            file.close()
        dtype = image_dtype(scene.dtype, f"{path}: dtype")
        require_kind(path, scene.dims, dtype, options)
        metadata = dict(scene.metadata)
        if "pixelSize" in metadata:
            metadata["pixelSize"] = tuple(metadata["pixelSize"])[: len(scene.dims)]
        axes = {axis: scene.size(axis) for axis in "CZT" if scene.size(axis) > 1}
        layout = {"axes": "T" if scene.size("T") > 1 else ""}
        found = {"axes": axes, **scene.found}
        return Header(path, scene.dims, dtype, scene.size("T"), metadata, layout, found)

    def open(
        self, path: str, options: Options, header: Header, scratch: Scratch | None = None
    ) -> Handle:
        with self._guard(path):
            file = self._open(path)
        try:
            scene = self._choose(path, file, options)
            channel = choose_channel(path, scene.size("C"), options.channel)
            header.require(path, scene.dims, image_dtype(scene.dtype))
            if not self.multiple(options, header):
                header.require_count(path, scene.size("T"))
        except BaseException:
            file.close()
            raise
        return LibraryHandle(path, header, file, scene, channel, self.library, scratch)

    def _open(self, path: str) -> Any:
        with open(path, "rb"):  # so that what is missing is said as elsewhere
            pass
        try:
            library = import_module(self.library)
        except ImportError as error:
            raise ImportError(
                f"{path}: is read by the library {self.library}: pip install "
                f"'mpimages[{self.name}]' ({error})"
            ) from error
        return self.open_library(library, path)

    @contextmanager
    def _guard(self, path: str) -> Iterator[None]:
        with guard(path, self.library):
            yield

    def _choose(self, path: str, file: Any, options: Options) -> Scene:
        """The scene that is read."""
        with self._guard(path):
            names = self.scene_names(file)
        if not names:
            raise FormatError(f"{path}: has no images")
        told = ", ".join(repr(name) for name in names[:NAMES_TOLD])
        told += f" and {len(names) - NAMES_TOLD} more" if len(names) > NAMES_TOLD else ""
        if options.dataset is None and len(names) > 1:
            raise ValueError(f"{path}: has {len(names)} recordings; choose one by dataset=: {told}")
        if options.dataset is not None and names.count(options.dataset) != 1:
            problem = "several" if options.dataset in names else "no"
            raise ValueError(f"{path}: has {problem} recordings {options.dataset!r}, but {told}")
        number = 0 if options.dataset is None else names.index(options.dataset)
        with self._guard(path):
            scene = self.scene(file, number)
        more = {axis: n for axis, n in scene.sizes.items() if n != 1 and axis not in "TZCYX"}
        if more or min(scene.size(axis) for axis in "TZCYX") < 1:
            raise ValueError(
                f"{path}: has the axes {scene.sizes}: only T, Z, C, Y and X are read; export it "
                "as OME-TIFF without the others"
            )
        return scene


class LibraryHandle(Handle):
    """The images of a scene. See `Handle`."""

    def __init__(
        self,
        path: str,
        header: Header,
        file: Any,
        scene: Scene,
        channel: int,
        library: str,
        scratch: Scratch | None,
    ) -> None:
        super().__init__(path, header, scene.size("T"), scratch)
        self._file = file
        self._scene = scene
        self._channel = channel
        self._library = library

    def close(self) -> None:
        self._file.close()

    def _read_batch(self, start: int, stop: int, out: np.ndarray) -> None:
        rows, columns = self.header.dims[:2]
        planes = out.reshape(stop - start, rows, columns, -1)
        for time in range(start, stop):
            for z in range(planes.shape[3]):
                with guard(self.path, self._library), phase("decode", rows * columns):
                    plane = np.asarray(self._scene.read(time, z, self._channel))
                if plane.shape != (rows, columns) or plane.dtype.newbyteorder("=") != out.dtype:
                    raise FormatError(
                        f"{self.path}: plane {z} of image {time} has shape {plane.shape} and dtype "
                        f"{plane.dtype}, and not {(rows, columns)} and {out.dtype}"
                    )
                planes[time - start, :, :, z] = plane


@contextmanager
def guard(path: str, library: str) -> Iterator[None]:
    """Turn what a library raises, of any type, into FormatError."""
    try:
        yield
    except (ImportError, MemoryError):
        raise
    except OSError as error:
        if error.errno is not None:
            raise
        # Not of the system: a library's word for a file that is too short.
        raise FormatError(f"{path}: {library} cannot read it: {error}") from error
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None
    except Exception as error:
        raise FormatError(f"{path}: {library} cannot read it: {error!r}") from error
