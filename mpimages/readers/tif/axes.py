"""What the pages of a TIFF are: which image and which plane each belongs to.

ImageJ and OME write it into the first page's ImageDescription. Without such a header all
pages are the planes of one image. What the user says, by nplanes and nchannels, takes the place
of a header.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import numpy as np

from ...core.json_types import JsonObject
from ...errors import FormatError
from ...formats.tif_tags import LSM, STK_PLANES
from ..base import cut_planes
from ..options import Options
from ..page_order import PageOrder, choose_channel, choose_pages, order_of, planes_left_out
from .index import TifIndex
from .plan import REGARDLESS, Plan, mixed, refuse_channel, sizes_found


def make_plan(path: str, index: TifIndex, options: Options, damaged: bool = False) -> Plan:
    """The plan of a file's pages.

    Parameters
    ----------
    path : str
    index : TifIndex
    options : Options
        Its channel, nchannels, nplanes and incomplete are heeded.
    damaged : bool
        Whether pages are missing at the end, which are to be dropped.

    Raises
    ------
    FormatError
        If the header contradicts the pages.
    ValueError
        If a channel must be chosen, or there is none to choose, or the pages cannot be cut.
    """
    if options.single_pages:
        return Plan("plain", np.arange(index.count)[:, np.newaxis])
    if options.nchannels is not None or options.order is not None:
        return _by_arguments(path, index, options, damaged)
    plan = _by_header(path, index, options)
    if plan is not None and options.nplanes is None:
        return plan
    if plan is None:
        _refuse_flyback_without_planes(path, options)
        plan = _plain(path, index, options)
    images, planes = cut_planes(path, plan.pages.size, options, droppable=True)
    if not isinstance(options.nplanes, int) and damaged:
        images = 0  # how many planes an image has, nothing says
    left_out = planes_left_out(path, np.arange(planes), options)
    kept = plan.pages.reshape(-1)[: images * planes].reshape(images, planes)
    if plan.kind == "plain":
        axes = sizes_found("ZT", {"Z": planes, "T": images})
        plan = replace(plan, found={**plan.found, "axes": axes})
    return replace(plan, pages=np.delete(kept, left_out, axis=1))


def _by_arguments(path: str, index: TifIndex, options: Options, damaged: bool) -> Plan:
    """The plan that nchannels, order, nplanes and flyback say, whatever a header does."""
    order = order_of(options)
    _refuse_order_without_effect(path, order, options)
    _refuse_flyback_without_planes(path, options)
    if options.nchannels is None and options.channel is not None:
        raise ValueError(
            f"{path}: beside order= and channel= say by nchannels= of how many channels its pages "
            f"are"
        )
    refuse_left_out(path, index.description, index.count)
    # Where other pages lie behind those of the last image, nothing tells which are missing.
    droppable = order.order == "CZT" or (order.order[-1] == "T" and order.planes > 0)
    each, left = divmod(index.count, order.channels)
    if left and not (options.incomplete and droppable):
        raise ValueError(
            f"{path}: its {index.count} pages are not of nchannels={order.channels} channels "
            f"in turn: the last {left} have no page of each"
        )
    images, planes = cut_planes(path, each, options, droppable)
    if not isinstance(options.nplanes, int) and damaged:
        images = 0
    channel = choose_channel(path, order.channels, options.channel)
    table = replace(order, planes=planes).table(images * planes * order.channels)
    pages = choose_pages(path, table, channel, options, planes)
    sizes = {"C": order.channels, "Z": planes, "T": images}
    note = "" if options.nchannels else mixed(header_channels(path, index))
    return Plan("plain", pages, note=note, found={"axes": sizes_found(order.order, sizes)})


def _refuse_order_without_effect(path: str, order: PageOrder, options: Options) -> None:
    turns = (order.channels > 1) + (order.planes != 1) + (order.planes > 0)
    if options.order is not None and turns < 2:
        raise ValueError(
            f"{path}: order={options.order!r} has no effect where the pages are of one channel "
            f"and {'one plane each' if order.planes == 1 else 'one image'}; nchannels= and "
            f"nplanes= say of how many channels and planes they are"
        )


def _refuse_flyback_without_planes(path: str, options: Options) -> None:
    if options.flyback is not None and options.nplanes is None:
        raise ValueError(
            f"{path}: flyback={options.flyback} leaves out planes of each volume, but nothing says "
            f"how many planes a volume has; nplanes= says so, those that are left out counted"
        )


def _by_header(path: str, index: TifIndex, options: Options) -> Plan | None:
    """What a header says; None where there is none, or nplanes overrules it."""
    text = index.description
    try:
        if index.micromanager == "stack" and not index.is_ome:
            from .micromanager import plan_micromanager

            return plan_micromanager(path, index, options)
        if index.is_imagej:
            from .imagej import plan_imagej

            return plan_imagej(path, text, index.count, index.pixels_per_unit, options)
        if index.is_ome:
            from .ome import plan_ome

            return plan_ome(path, text, index.count, options)
        if index.is_scanimage:
            from .scanimage import plan_scanimage

            return plan_scanimage(path, index, options)
        if STK_PLANES in index.private and index.geometry(0).planes > 1:
            from .metamorph import plan_metamorph

            return plan_metamorph(path, index, options)
        if LSM in index.private:
            from .lsm import plan_lsm

            return plan_lsm(path, index, options)
        if index.micromanager == "ndtiff" and index.count > 1:
            from .ndtiff import plan_ndtiff

            return plan_ndtiff(path, index, options)
        if index.is_fluoview:
            from .fluoview import plan_fluoview

            return plan_fluoview(path, index, options)
    except ValueError as error:
        if options.nplanes is None:
            known = re.search(r"nplanes=|flyback=|choose .*channel=", str(error))
            raise type(error)(f"{error}{'' if known else REGARDLESS}") from None
        if options.channel is not None:
            raise type(error)(
                f"{error}; where the pages are of several channels in turn, nchannels= beside "
                f"channel= says of how many, whatever the header says"
            ) from None
    return None


def header_channels(path: str, index: TifIndex) -> int:
    """How many channels a header says that the pages are of; 1 where it says none."""
    whole = Options(nplanes="all")
    try:
        plan = _by_header(path, index, whole)
    except ValueError:
        return 1
    return 1 if plan is None else int(plan.found.get("axes", {}).get("C", 1))


def _plain(path: str, index: TifIndex, options: Options) -> Plan:
    """One image of all pages."""
    refuse_left_out(path, index.description, index.count)
    refuse_channel(path, options)
    found: JsonObject = {"axes": sizes_found("ZT", {"Z": index.count})}
    if index.count > 1 and options.nplanes is None:
        found["uncertain"] = [
            f"no header says what its {index.count} pages are; they are taken for one volume: "
            f"nplanes=1 reads a movie, nplanes='all' settles that it is a volume"
        ]
    return Plan("plain", np.arange(index.count)[np.newaxis], found=found)


def refuse_left_out(path: str, description: str, count: int) -> None:
    """Raise FormatError where tifffile's header says that there are pages without directory."""
    if not description.startswith("{"):
        return
    try:
        said = json.loads(description)
        pages = math.prod(said["shape"][:-2]) if said.get("truncated") else count
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return  # another program's
    if pages > count:
        raise FormatError(
            f"{path}: its header says shape {tuple(said['shape'])}, but it tells where only "
            f"{count} of the pages {'is' if count == 1 else 'are'} (tifffile's truncate); save it "
            f"again without truncate, or as an ImageJ file"
        )
