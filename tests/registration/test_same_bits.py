"""A registration has the same bits whatever ranks, budgets, files and processors work at it."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import tifffile
from mpi4py import MPI

from mpimages import ThunderContext
from mpimages.kernels import isa

from ..support.jobs import run
from .moving import CASES, digest, recorded


@pytest.fixture
def alone():
    """A context of each rank for itself."""
    with ThunderContext(MPI.COMM_SELF, memory="1GB") as context:
        yield context


@pytest.mark.ranks
@pytest.mark.parametrize("case", CASES)
def test_several_ranks_find_what_one_finds(tsc, alone, case):
    changes, options = CASES[case]
    images = recorded(**changes)[1]
    one = digest(alone.loadImagesFromArray(images), **options)
    assert digest(tsc.loadImagesFromArray(images), **options) == one


@pytest.mark.ranks
@pytest.mark.parametrize("memory", ["64MB", "1GB"])
@pytest.mark.parametrize("stored", ["memory", "tif", "hdf5"])
def test_budgets_and_files_do_not_matter(comm, alone, shared_path, memory, stored):
    """In 64 MB a reference's images cannot be held."""
    images = recorded(photons=5.0, dims=(256, 256), count=40)[1].astype(np.float64)
    one = digest(alone.loadImagesFromArray(images))
    if comm.rank == 0:
        with h5py.File(shared_path / "a.h5", "w") as file:
            file["images"] = images
        tifffile.imwrite(shared_path / "a.tif", images, photometric="minisblack", metadata=None)
    comm.Barrier()
    with ThunderContext(comm, memory=memory) as tsc:
        if stored == "memory":
            found = tsc.loadImagesFromArray(images)
        elif stored == "tif":
            found = tsc.loadImages(str(shared_path / "a.tif"), nplanes=1)
        else:
            found = tsc.loadImages(str(shared_path / "a.h5"))
        assert found.shape == images.shape
        assert digest(found) == one


@pytest.mark.parametrize("case", CASES)
def test_every_level_of_the_processor_finds_the_same(tsc, case):
    changes, options = CASES[case]
    images = tsc.loadImagesFromArray(recorded(**changes)[1])
    found = set()
    for level in isa.available():
        isa.force(level)
        try:
            found.add(digest(images, **options))
        finally:
            isa.force()
    assert len(found) == 1


@pytest.mark.slow
def test_many_ranks_find_what_one_finds():
    # More than there are volumes; the other tests run on two, three and four.
    one, many = (run(ranks, "registered.py") for ranks in (1, 25))
    assert one.count("\n") == len(CASES)
    assert many == one
