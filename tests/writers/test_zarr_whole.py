"""A Zarr is whole or absent, also beside other outputs."""

import os

import pytest

from mpimages import verify
from mpimages.formats.zarr.nodes import is_zarr

from ..conversion.test_saving import contents
from ..support.data import recording

COUNT, DIMS = 9, (12, 10)
FORMS = {
    "images": {"chunks": (2, 8, 6), "shards": 400, "levels": 2},
    "plain images": {"chunks": (2, 8, 6), "shards": 400, "levels": 1, "compression": None},
    "one file": {"compression": "blosc"},
    "files": {"chunks": (2, 8, 6), "shards": False, "compression": "gzip"},
    "version 2": {"chunks": (2, 8, 6), "version": 2, "levels": 1},
    "version 2 of blosc": {"chunks": (2, 8, 6), "version": 2, "compression": "blosc"},
    "plain version 2": {"chunks": (2, 8, 6), "version": 2, "compression": None},
    "series": {"layout": "series", "chunks": (5, 4, 6), "shards": 500},
    "plain series": {"layout": "series", "chunks": (5, 4, 6), "compression": None},
}


@pytest.fixture
def images(tsc):
    return tsc.loadImagesFromArray(recording(COUNT, DIMS, "uint16") & 0xFF)


@pytest.mark.ranks
@pytest.mark.few_ranks
def test_all_forms_are_sound_and_are_not_written_again(tsc, images, shared_path):
    """One over the other; and a job that resumes what is complete has nothing to do."""
    path = shared_path / "out"
    for form in FORMS.values():
        images.saveAsZarr(path, **form, overwrite=True)
        if tsc.rank == 0:
            found = verify(path)
            assert found.ok, str(found)
            assert found.files == len(contents(path))
            before = {file: os.stat(file).st_mtime_ns for file in path.rglob("*")}
        images.saveAsZarr(path, **form, resume=True)
        if tsc.rank == 0:
            assert {file: os.stat(file).st_mtime_ns for file in path.rglob("*")} == before
            assert os.listdir(shared_path) == ["out"]
        tsc.comm.Barrier()
    with pytest.raises(FileExistsError, match="is complete, but has the version 3 and not 2"):
        images.saveAsZarr(path, "series", version=2, resume=True)


OTHERS = {
    "saveAsBinarySeries": {},
    "saveAsHDF5": {},
    "saveAsTifs": {},
    "saveAsTif": {},
    "saveAsBinaryImages": {},
}


@pytest.mark.ranks
@pytest.mark.few_ranks
def test_a_zarr_and_other_outputs_replace_each_other(tsc, images, shared_path):
    path = shared_path / "out"
    for method in OTHERS:
        for form in ("images", "version 2"):
            images.saveAsZarr(path, **FORMS[form], overwrite=True)
            getattr(images, method)(path, overwrite=True)
            if tsc.rank == 0:
                assert not is_zarr(str(path))
                assert verify(path).ok
                assert os.listdir(shared_path) == ["out"]
            tsc.comm.Barrier()
    images.saveAsZarr(path, overwrite=True)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        images.saveAsHDF5(path)
    if tsc.rank == 0:
        (path / "0" / "notes.txt").write_text("mine")
    tsc.comm.Barrier()
    with pytest.raises(FileExistsError, match=r"0/notes\.txt"):
        images.saveAsHDF5(path, overwrite=True)


def test_an_input_is_not_replaced_by_what_is_made_of_it(tsc, images, tmp_path):
    path = tmp_path / "out"
    images.saveAsZarr(path, **FORMS["images"])
    before = contents(path)
    for place in (path, path / "0"):
        with pytest.raises(FileExistsError, match="is read by this very job"):
            tsc.loadImages(str(place)).saveAsHDF5(path, overwrite=True)
    assert contents(path) == before
