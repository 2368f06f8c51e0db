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

from ...errors import FormatError
from ..base import cut_planes
from ..options import Options
from .index import TifIndex
from .plan import REGARDLESS, Plan, choose_channel, mixed
from .scanimage import ScanImage, read_scanimage


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
    plan = None if options.nchannels is not None else _by_header(path, index, options)
    if plan is None:
        plan = _plain(path, index, options)
        if options.nplanes is None and damaged:  # how many planes an image has, nothing says
            return replace(plan, pages=plan.pages[:0])
    if options.nplanes is None:
        return plan
    images, planes = cut_planes(path, plan.pages.size, options, droppable=True)
    if options.nplanes == "all" and damaged:
        images = 0
    kept = plan.pages.reshape(-1)[: images * planes]
    return replace(plan, pages=kept.reshape(images, planes))


def _by_header(path: str, index: TifIndex, options: Options) -> Plan | None:
    """What ImageJ's or OME's header says; None where there is none, or nplanes overrules it."""
    text = index.description
    try:
        if index.is_imagej:
            from .imagej import plan_imagej

            return plan_imagej(path, text, index.count, index.pixels_per_unit, options)
        if index.is_ome:
            from .ome import plan_ome

            return plan_ome(path, text, index.count, options)
    except ValueError as error:
        if options.nplanes is None:
            known = re.search(r"nplanes=|choose .*channel=", str(error))
            raise type(error)(f"{error}{'' if known else REGARDLESS}") from None
        if options.channel is not None:
            raise type(error)(
                f"{error}; where the pages are of several channels in turn, nchannels= beside "
                f"channel= says of how many, whatever the header says"
            ) from None
    return None


def _plain(path: str, index: TifIndex, options: Options) -> Plan:
    """One image of all pages, or of those of one channel."""
    _refuse_left_out(path, index.description, index.count)
    header = read_scanimage(index.software, index.description)
    said = "" if header is None else str(header)
    if options.nchannels is None:
        note = _refuse_mixed(path, header, options)
        return Plan("plain", np.arange(index.count)[np.newaxis], said=said, note=note)
    whole, left = divmod(index.count, options.nchannels)
    if left and not options.incomplete:
        raise ValueError(
            f"{path}: its {index.count} pages are not of nchannels={options.nchannels} channels "
            f"in turn: the last {left} have no page of each"
        )
    channel = choose_channel(path, options.nchannels, options)
    pages = np.arange(whole * options.nchannels).reshape(whole, options.nchannels)
    return Plan("plain", pages[np.newaxis, :, channel], said=said)


def _refuse_mixed(path: str, header: ScanImage | None, options: Options) -> str:
    """Raise ValueError where a channel is asked for that nothing tells, or one must be chosen.

    Returns
    -------
    str
        A word on channels whose pages become images all the same.
    """
    channels = 1 if header is None else header.channels
    if options.channel is not None and channels == 1:
        raise ValueError(
            f"{path}: channel={options.channel} was given, but nothing says that it has several; "
            f"where its pages are of several channels in turn, nchannels= says of how many"
        )
    if channels > 1 and (options.channel is not None or options.nplanes is None):
        raise ValueError(
            f"{path}: {header}, a page of each channel in turn: nchannels={channels} and channel=0 "
            f"to channel={channels - 1} choose one, nplanes= then says how many of its pages are "
            f"an image; nplanes= alone takes the pages of all channels"
        )
    return mixed(channels)


def _refuse_left_out(path: str, description: str, count: int) -> None:
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
