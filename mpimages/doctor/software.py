"""The versions of what is installed: the same on all ranks, and made for each other?"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable

from mpi4py import MPI

from ..spmd.collectives import allgather
from .findings import Finding

__all__ = ["examine_software"]

THREAD_LEVELS = {
    MPI.THREAD_SINGLE: "single",
    MPI.THREAD_FUNNELED: "funneled",
    MPI.THREAD_SERIALIZED: "serialized",
    MPI.THREAD_MULTIPLE: "multiple",
}


def examine_software(comm: MPI.Intracomm) -> list[Finding]:
    """Python, MPI, NumPy, HDF5 and mpimages itself. Collective."""
    own = [_tried(topic, look) for topic, look in LOOKS.items()]
    everywhere = allgather(comm, own)
    return [_compared(findings) for findings in zip(*everywhere, strict=True)]


def _tried(topic: str, look: Callable[[], Finding]) -> Finding:
    # Whatever is broken here must not keep the rest from being looked at.
    try:
        return look()
    except Exception as error:
        return Finding(
            topic,
            "problem",
            f"{type(error).__name__}: {error}",
            "reinstall it in the environment in which mpimages runs",
        )


def _compared(findings: tuple[Finding, ...]) -> Finding:
    """Rank 0's finding, or how the others' differ."""
    first = findings[0]
    for rank, other in enumerate(findings):
        if other != first:
            return Finding(
                first.topic,
                "problem",
                f"rank 0: {first.text}; rank {rank}: {other.text}",
                "give all ranks the same environment: the same modules and python",
            )
    return first


def _mpimages() -> Finding:
    from .. import __version__
    from ..kernels import isa, moments, projection, runs, series, transpose, warp

    for kernel in (moments, projection, runs, series, transpose, warp):
        assert kernel.__name__  # all of them can be loaded
    text = f"{__version__}, kernels for {isa.level()} (of {', '.join(isa.available())})"
    return Finding("mpimages", "ok", text)


def _python() -> Finding:
    return Finding("Python", "ok", f"{platform.python_version()}, {sys.executable}")


def _mpi() -> Finding:
    library = MPI.Get_library_version().split("\n")[0].split(",")[0].strip("\0 ")
    name = " ".join(library.replace("Version:", "").split())
    standard = ".".join(map(str, MPI.Get_version()))
    return Finding("MPI", "ok", f"{name}, MPI {standard}")


def _mpi4py() -> Finding:
    import mpi4py

    level = MPI.Query_thread()
    text = f"{mpi4py.__version__}, threads: {THREAD_LEVELS.get(level, level)}"
    if level < MPI.THREAD_FUNNELED:
        return Finding(
            "mpi4py",
            "note",
            text,
            "threads read files beside MPI: let mpi4py.rc.thread_level be 'multiple'",
        )
    return Finding("mpi4py", "ok", text)


def _numpy() -> Finding:
    import numpy as np

    return Finding("NumPy", "ok", np.__version__)


def _h5py() -> Finding:
    import h5py

    mpi = h5py.get_config().mpi
    how = "with MPI" if mpi else "without MPI (which mpimages does not need)"
    return Finding("h5py", "ok", f"{h5py.__version__} {how}, HDF5 {h5py.version.hdf5_version}")


LOOKS = {
    "mpimages": _mpimages,
    "Python": _python,
    "MPI": _mpi,
    "mpi4py": _mpi4py,
    "NumPy": _numpy,
    "h5py": _h5py,
}
