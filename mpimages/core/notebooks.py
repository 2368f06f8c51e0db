"""Errors in IPython and Jupyter, shown without the frames inside of this package.

IPython asks an exception that has the method ``_render_traceback_`` for the lines to show:
https://ipython.readthedocs.io/en/stable/config/integrating.html. The exception itself keeps all of
its frames: ``%tb Verbose`` shows them, and ``%debug`` walks through them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from .cleanup import attributes_of

__all__ = ["mark"]

PACKAGE = __name__.partition(".")[0]
# What the package calls: of interest only where a function of the user calls it.
LIBRARIES = {"h5py", "imagecodecs", "matplotlib", "mpi4py", "numpy", "scipy", "tifffile"}
LAST_LINE = f"(without the frames inside of {PACKAGE}: %tb Verbose shows them)"


def mark(error: BaseException) -> None:
    """Let IPython, if it runs, show an exception without the package's frames. Local."""
    if "IPython" in sys.modules:
        # Not a method bound to the exception: in a cycle it would keep the arrays of all frames.
        attributes_of(error)["_render_traceback_"] = _render


def _render() -> list[str]:
    error = next(
        error
        for error in (sys.exc_info()[1], getattr(sys, "last_value", None))
        if error is not None and attributes_of(error).get("_render_traceback_") is _render
    )
    shown = sys.modules["IPython"].get_ipython().InteractiveTB
    if shown.mode == "Verbose":
        return list(shown.structured_traceback(type(error), error, error.__traceback__))
    with _without_package(error):
        lines = list(shown.structured_traceback(type(error), error, error.__traceback__))
    shown.tb = error.__traceback__  # for %debug
    return [*lines, LAST_LINE]


@contextmanager
def _without_package(error: BaseException) -> Iterator[None]:
    """Leave the package's frames out of an exception, and of those that led to it, for a while."""
    changed: list[tuple[Any, ...]] = []
    current: BaseException | None = error
    while current is not None and all(current is not other for other, *_ in changed):
        cause, context, suppress = (
            current.__cause__,
            current.__context__,
            current.__suppress_context__,
        )
        changed.append((current, current.__traceback__, cause, context, suppress))
        current.__traceback__ = _cut(current.__traceback__)
        before = cause or (None if suppress else context)
        if before is not None and _cut(before.__traceback__) is None:  # raised inside
            current.__cause__ = before = None
        current = before
    try:
        yield
    finally:
        for current, trace, cause, context, suppress in changed:
            current.__traceback__ = trace
            current.__cause__, current.__context__ = cause, context
            current.__suppress_context__ = suppress


def _cut(trace: TracebackType | None) -> TracebackType | None:
    """A traceback without the package's frames, and what these call in libraries."""
    kept = []
    inside = False
    while trace is not None:
        inside = _is_inside(trace.tb_frame, inside)
        if not inside:
            kept.append(trace)
        trace = trace.tb_next
    for each in reversed(kept):
        trace = TracebackType(trace, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return trace


def _is_inside(frame: FrameType, below: bool) -> bool:
    """Whether a frame is the package's, or, `below` one that is, a library's. Local."""
    module = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    if module == PACKAGE:
        return True
    return below and (module in LIBRARIES or module in sys.stdlib_module_names)
