"""Olympus FluoView: a header in the tag MM_Header names the axes and their sizes, fastest first.

Olympus: the FluoView file format, the tags MM_Header and MM_Stamp.
"""

from __future__ import annotations

import math
import struct

from ...core.json_types import JsonObject
from ...errors import FormatError
from ...formats.tif_tags import FLUOVIEW
from ..options import Options
from ..page_order import PageOrder
from .index import TifIndex
from .plan import Plan, plan_table, sizes_found, unit_name

_FIRST, _MOST = 284, 10  # where the axes are, and how many at most
_LETTERS = {"X": "X", "Y": "Y", "Z": "Z", "T": "T", "TIME": "T", "CH": "C", "WAVELENGTH": "C"}


def plan_fluoview(path: str, index: TifIndex, options: Options) -> Plan:
    """The plan of a FluoView file.

    Raises
    ------
    FormatError
        If the header contradicts the pages.
    ValueError
        If a channel must be chosen, or it names an axis that is not known.
    """
    block, order = index.private[FLUOVIEW], index.layout.order
    axis = struct.Struct(f"{order}16sidd64s")
    if len(block) < _FIRST + _MOST * axis.size:
        raise FormatError(f"{path}: the FluoView header has {len(block)} bytes")
    sizes: dict[str, int] = {}
    steps: dict[str, tuple[float, str]] = {}
    for k in range(_MOST):
        name, size, _, step, unit = axis.unpack_from(block, _FIRST + k * axis.size)
        name = name.partition(b"\0")[0].decode("latin-1").strip()
        letter = _LETTERS.get(name.upper(), "")
        if size > 1 and (not letter or letter in sizes):
            raise ValueError(
                f"{path}: the FluoView header has an axis {name!r} of {size}, which is not read; "
                f"nplanes= and nchannels= say what its pages are"
            )
        if letter and letter not in sizes:
            sizes[letter] = max(1, size)
            steps[letter] = step, unit_name(unit.partition(b"\0")[0].decode("latin-1").strip())
    letters = [letter for letter in sizes if letter in "CZT"]
    letters += [letter for letter in "CZT" if letter not in letters]
    count = math.prod(sizes.get(letter, 1) for letter in letters)
    if options.incomplete and index.count < count and letters[-1] == "T":
        each = count // sizes.get("T", 1)
        sizes["T"], count = index.count // each, index.count
    if count != index.count:
        listed = ", ".join(f"{letter} {sizes.get(letter, 1)}" for letter in letters)
        raise FormatError(
            f"{path}: the FluoView header says {listed}, but it has {index.count} pages; nplanes= "
            f"and nchannels= say what they are"
        )
    metadata: JsonObject = {}
    units = {steps.get(letter, (0.0, ""))[1] for letter in "YX"}
    y, x, z = (steps.get(letter, (0.0, ""))[0] for letter in "YXZ")
    if len(units) == 1 and "" not in units and x > 0 and y > 0:
        depth = z if z > 0 and steps["Z"][1] in units else None
        metadata = {"pixelSize": (y, x, depth), "unit": units.pop()}
    step, unit = steps.get("T", (0.0, ""))
    scale = {"s": 1.0, "ms": 1e-3}.get(unit, 0.0)
    if step * scale > 0:
        metadata["frameInterval"] = step * scale
    planes = sizes.get("Z", 1)
    taking_turns = PageOrder("".join(letters), sizes.get("C", 1), planes)
    found: JsonObject = {"program": "FluoView", "axes": sizes_found("".join(letters), sizes)}
    # Where T is not the slowest, its size is needed: the table works it out from the pages.
    table = taking_turns.table(index.count)
    plan = Plan("fluoview", metadata=metadata, found=found)
    return plan_table(plan, path, index.count, table, options, planes)
