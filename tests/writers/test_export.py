"""Arrays as one file, by `ThunderContext.export`."""

import numpy as np
import pytest


@pytest.mark.ranks
def test_export(tsc, comm, shared_path):
    mean = tsc.loadExample("fish-images").mean()
    tsc.export(mean, shared_path / "mean.npy")
    comm.Barrier()
    np.testing.assert_array_equal(np.load(shared_path / "mean.npy"), mean)
    tsc.export(mean, shared_path / "mean.npy")  # it is the same
    with pytest.raises(FileExistsError, match="overwrite=True"):
        tsc.export(mean + 1, shared_path / "mean.npy")
    tsc.export(mean + 1, shared_path / "mean.npy", overwrite=True)
    comm.Barrier()
    np.testing.assert_array_equal(np.load(shared_path / "mean.npy"), mean + 1)
    for name, array in (
        ("a.txt", mean[:, :, 0]),
        ("b.txt", np.arange(5)),
        ("c.TXT", np.array([0.1, np.nan, -np.inf])),
        ("d.anything", [[1, 2], [3, 4]]),
        ("e.txt", 3.5),
        ("f.txt", np.array([True, False])),
    ):
        tsc.export(array, shared_path / name, None if "xt" in name.lower() else "txt")
        comm.Barrier()
        np.testing.assert_array_equal(np.loadtxt(shared_path / name), np.asarray(array))
    tsc.export(np.arange(6).reshape(2, 3), shared_path / "a.txt", overwrite=True)
    comm.Barrier()
    assert (shared_path / "a.txt").read_text() == "0 1 2\n3 4 5\n"


@pytest.mark.ranks
def test_what_is_not_exported(tsc, comm, shared_path):
    if comm.rank == 0:
        (shared_path / "letter.txt").write_text("dear all")
        (shared_path / "letter.npy").write_text("dear all")
    comm.Barrier()
    for data, name, error, told in (
        (np.zeros(3), "a.mat", ValueError, "savemat"),
        (np.zeros(3), "a.png", ValueError, "must end in"),
        (np.zeros((2, 3, 4)), "a.txt", ValueError, "at most two dimensions"),
        (tsc.loadExample("iris"), "a.npy", TypeError, "toArray"),
        (np.zeros(3, complex), "a.npy", TypeError, "data"),
    ):
        with pytest.raises(error, match=told):
            tsc.export(data, shared_path / name)
    for name in ("letter.txt", "letter.npy"):
        with pytest.raises(FileExistsError, match="not replaced"):
            tsc.export(np.zeros(3), shared_path / name, overwrite=True)
    comm.Barrier()
    assert sorted(path.name for path in shared_path.iterdir()) == ["letter.npy", "letter.txt"]
