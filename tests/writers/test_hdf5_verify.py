"""What verify says of the HDF5 files that the writers make."""

import numpy as np
import pytest
from mpi4py import MPI

from mpimages import verify
from mpimages.writers.output import piece_sums

from ..support.hdf5files import save


@pytest.mark.parametrize("layout", ["series", "images"])
@pytest.mark.parametrize("options", [{}, {"chunks": True}, {"compression": "gzip"}], ids=str)
def test_verify_finds_them_sound_and_one_flipped_byte(tmp_path, monkeypatch, options, layout):
    monkeypatch.setattr(piece_sums, "LEAST_PIECE", 64)
    array = np.random.default_rng(0).integers(0, 9, (5, 7, 6)).astype("u2")
    save(MPI.COMM_SELF, tmp_path / "o.h5", array, [9, 20], layout=layout, **options)
    found = verify(tmp_path / "o.h5")
    assert found.ok, str(found)
    assert found.kind == "hdf5"
    content = bytearray((tmp_path / "o.h5").read_bytes())
    if "compression" in options:
        return
    place = content.index(
        np.moveaxis(array, -1, 0).tobytes() if layout == "images" else array.tobytes()
    )
    content[place + 130] ^= 1
    (tmp_path / "o.h5").write_bytes(content)
    assert len(verify(tmp_path / "o.h5").problems) == 1
