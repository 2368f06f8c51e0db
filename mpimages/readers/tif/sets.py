"""Sets of TIFFs whose header says which planes lie in which file, or go on in the next one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ...core.json_types import JsonObject
from ...errors import FormatError
from ..file_sets import FileSet
from ..options import Options
from ..page_order import PageOrder, T, choose_channel
from .index import TifIndex
from .pages import TifPages

if TYPE_CHECKING:
    from .scanimage import ScanImage

# By what each file of a set is read as pages: what the user says of planes, the set heeds.
AS_PAGES: JsonObject = {
    "nplanes": 1, "channel": None, "flyback": None, "single_pages": True,
}  # fmt: skip


def find_set(paths: Sequence[str], options: Options, complete: bool) -> FileSet | None:
    """See `Reader.find_set`. Of files that have no such header only the first page is looked at."""
    try:
        with TifPages(paths[0]) as pages:
            pages.find_index(1)
            if pages.index.is_scanimage and len(paths) > 1:
                pages.find_index()
            index = pages.index
    except (OSError, ValueError):
        return None  # what is wrong the reader says
    # Of a directory with one file alone, the others may be missing.
    if index.is_ome and (len(paths) > 1 or complete or "BinaryOnly" in index.description):
        from .ome_set import ome_set

        return ome_set(paths[0], index.description, paths, options, complete)
    if index.is_scanimage and len(paths) > 1:
        return _scanimage_set(index, paths, options, complete)
    return None


def _scanimage_set(
    index: TifIndex, paths: Sequence[str], options: Options, complete: bool
) -> FileSet | None:
    """A recording of ScanImage that goes on in the next file, wherever that begins."""
    from .scanimage import describe_recording, page_order, read_scanimage

    header = read_scanimage(index)
    if header is None:
        return None
    try:
        order = page_order(index, options)
        if order is None:
            return None
        metadata, found = describe_recording(index, order, options)
    except ValueError:
        return None  # the reader says it of the first file
    own = replace(options, **AS_PAGES)
    names = found["channels"]
    return RunningFiles(
        list(paths), own, True, names, metadata, found, order, complete, header=header
    )


@dataclass(frozen=True)
class RunningFiles(FileSet):
    """Files whose pages go on in the next one, in one regular order.

    Attributes
    ----------
    order : PageOrder
    header : ScanImage
        The first file's.
    complete : bool
        Whether they are all that there are, and not chosen by the user.
    """

    order: PageOrder = field(default_factory=PageOrder)
    complete: bool = True
    header: ScanImage = field(kw_only=True)

    def table(self, counts: np.ndarray, options: Options) -> np.ndarray:
        tables: list[np.ndarray] = []
        for first, last in self._recordings(counts):
            count = int(counts[first:last].sum())
            whole = self.order.whole(count)
            if whole != count and not options.incomplete:
                raise FormatError(
                    f"{self.paths[last - 1]}: the last volume is not whole: {count - whole} of "
                    f"{self.order.cycle} pages are there; incomplete='drop' leaves it out"
                )
            table = self.order.table(count)
            table[whole:] = -1
            times = 1 + max((int(t[:, T].max(initial=-1)) for t in tables), default=-1)
            table[:whole, T] += np.where(table[:whole, T] >= 0, times, 0)
            tables.append(table)
        return np.concatenate(tables)

    def choose_channel(self, table: np.ndarray, options: Options) -> int:
        return choose_channel(self.paths[0], len(self.channels), options.channel, self.channels)

    def whole(self) -> int:
        return self.order.planes - len(self.order.flyback)

    def _recordings(self, counts: np.ndarray) -> list[tuple[int, int]]:
        """The files [first, last) of each recording: one that ends within a volume goes on."""
        from .scanimage import frame_number

        found, first, pages = [], 0, 0
        begin = max(1, frame_number(_first_index(self.paths[0]).description))
        for file, count in enumerate(counts.tolist()):
            if file:
                index = _first_index(self.paths[file])
                self._require_same(file, index)
                number = frame_number(index.description)
                if not self._goes_on(file, number, begin, pages):
                    found.append((first, file))
                    first, pages, begin = file, 0, max(1, number)
            pages += count
        return [*found, (first, len(counts))]

    def _require_same(self, file: int, index: TifIndex) -> None:
        """Raise FormatError where the pages of a file take turns otherwise than the first's."""
        from .scanimage import read_scanimage

        header = read_scanimage(index)
        if header is None or header.turns != self.header.turns:
            raise FormatError(
                f"{self.paths[file]}: is of another recording than {self.paths[0]}: "
                f"{header or 'it has no header of ScanImage'}, and there {self.header}; choose "
                f"the files of one by a pattern or a list"
            )

    def _goes_on(self, file: int, number: int, begin: int, pages: int) -> bool:
        """Whether a file, which begins with frame `number`, goes on with a recording.

        `pages` pages of it have been, and its first frame was number `begin`.
        """
        expected = begin + pages // self.order.channels
        if number in (1, expected):
            return number == expected
        if self.order.whole(pages) == pages:
            # Frames of which several are averaged are counted in other ways, and who has chosen
            # the files may have left some out.
            if number == 0 or self.header.average > 1 or not self.complete:
                return False
            where = ""
        else:
            where = " within a volume,"
        raise FormatError(
            f"{self.paths[file]}: its first frame is number {number or 'unknown'}, but the files "
            f"before it end{where} before frame {expected}: files are missing, or not in order"
        )


def _first_index(path: str) -> TifIndex:
    """The index of a file's first page."""
    with TifPages(path) as pages:
        pages.find_index(1)
        return pages.index
