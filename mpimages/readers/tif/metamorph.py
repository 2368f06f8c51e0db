"""MetaMorph's STK: all planes lie behind the one page, and a table tells of each when and where.

Meta Imaging Series: STK file format (Molecular Devices, 2009), the tag UIC2.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np

from ...core.json_types import JsonObject
from ...formats.tif_tags import STK_PLANES
from ..options import Options
from ..page_order import PageOrder
from .index import TifIndex
from .plan import Plan, plan_table, refuse_channel, sizes_found

_DAY = 86_400_000  # milliseconds
_UNIX = 2_440_588  # the Julian day of 1970-01-01


def plan_metamorph(path: str, index: TifIndex, options: Options) -> Plan:
    """The plan of an STK: planes at different depths are a volume, at different times a movie.

    The format has no word for which is meant: where the table does not show it, they are one
    volume, as in files without a header.
    """
    refuse_channel(path, options)
    order = index.layout.order
    table = np.frombuffer(index.private[STK_PLANES], order + "u4").reshape(-1, 6).astype(np.int64)
    steps = table[1:, 0]  # of (numerator, denominator, day, time, changed day, changed time)
    times = table[:, 2] * _DAY + table[:, 3]
    deep = bool((steps != 0).all())
    movie = not (steps != 0).any() and bool((np.diff(times) > 0).all())
    planes = 1 if movie else index.count
    found: JsonObject = {
        "program": "MetaMorph",
        "axes": sizes_found("ZT", {"Z": planes, "T": index.count // planes}),
    }
    sure = deep or movie
    if not sure and options.nplanes is None:
        found["uncertain"] = [
            f"its table does not tell whether the {index.count} planes are of different depths or "
            f"times; they are taken for one volume: nplanes=1 reads a movie, nplanes='all' "
            f"settles that it is a volume"
        ]
    begin = _date(table[0])
    found.update({"startTime": begin} if begin else {})
    metadata: JsonObject = {}
    if movie:
        metadata["frameInterval"] = float(times[-1] - times[0]) / 1000 / (index.count - 1)
    pages = PageOrder("CZT", 1, planes).table(index.count)
    plan = Plan("stk" if sure else "plain", metadata=metadata, found=found)
    return plan_table(plan, path, index.count, pages, options, planes)


def _date(row: np.ndarray) -> str:
    day, milliseconds = int(row[2]) - _UNIX, int(row[3])
    if day < 0:
        return ""
    try:
        date = datetime(1970, 1, 1) + timedelta(days=day, milliseconds=milliseconds)
    except OverflowError:
        return ""
    return date.isoformat(timespec="milliseconds")
