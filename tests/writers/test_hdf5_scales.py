"""HDF5 files explain themselves: names and coordinates of the axes, sizes and times."""

import h5py
import numpy as np
import pytest
from mpi4py import MPI

from mpimages import FormatError, verify
from mpimages.writers.hdf5 import scales
from mpimages.writers.hdf5.writer import hdf5_writer

from ..support.data import recording
from ..support.hdf5files import load, save, values

METADATA = {"pixelSize": (0.5, 0.25, 2.0), "unit": "µm", "frameInterval": 0.1}
WAYS = {"contiguous": {}, "chunked": {"chunks": True}, "compressed": {"compression": "gzip"}}


def axes_of(dataset):
    """Per axis: label, name of the scale, coordinates, units."""
    return [
        (axis.label, axis.keys(), axis[0][()].tolist(), axis[0].attrs.get("units"))
        for axis in dataset.dims
    ]


@pytest.mark.parametrize("layout", ["series", "images"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.ranks
def test_names_and_coordinates(tsc, shared_path, way, layout):
    images = tsc.loadImagesFromArray(recording(6, (4, 3, 2), "int16"))
    images.metadata.update(METADATA)
    odd = images.filterOnKeys(lambda key: key % 2 == 1)
    path = shared_path / "a.h5"
    odd.saveAsHDF5(path, layout=layout, **WAYS[way])
    odd.saveAsHDF5(path, layout=layout, resume=True, **WAYS[way])
    pixels = [
        ("row", ["row"], [0.0, 0.5, 1.0, 1.5], "um"),
        ("column", ["column"], [0.0, 0.25, 0.5], "um"),
        ("page", ["page"], [0.0, 2.0], "um"),
    ]
    time = ("time", ["time"], [0.1, pytest.approx(0.3), 0.5], "s")
    with h5py.File(path) as file:
        dataset = file["series"]
        assert axes_of(dataset) == ([*pixels, time] if layout == "series" else [time, *pixels])
        assert dataset.attrs["pixel_size"].tolist() == [0.5, 0.25, 2.0]
        assert dataset.attrs["pixel_unit"] == "um"
        assert dataset.attrs["frame_interval"] == 0.1
    assert verify(path).ok
    # Which dataset is meant needs no word, although there are others.
    np.testing.assert_array_equal(tsc.loadImages(path).toArray(), odd.toArray())
    assert tsc.loadSeries(path).index.tolist() == [1, 3, 5]
    odd.saveAsHDF5(path, layout=layout, overwrite=True, **WAYS[way])


def test_without_sizes_and_times_the_axes_count(tmp_path):
    save(MPI.COMM_SELF, tmp_path / "a.h5", values((3, 2, 4)), [], index=[3, 4, 5, 9])
    with h5py.File(tmp_path / "a.h5") as file:
        assert axes_of(file["series"]) == [
            ("row", ["row"], [0, 1, 2], None),
            ("column", ["column"], [0, 1], None),
            ("time", ["time"], [3, 4, 5, 9], None),
        ]
        assert {"pixel_size", "pixel_unit", "frame_interval"}.isdisjoint(file["series"].attrs)


@pytest.mark.parametrize(
    ("metadata", "row", "units", "attributes"),
    [
        ({"pixelSize": (2.0, None)}, [0.0, 2.0], None, set()),
        ({"pixelSize": (2.0, 2.0)}, [0.0, 2.0], None, {"pixel_size"}),
        ({"pixelSize": (2.0, 2.0, 2.0), "unit": "um"}, [0, 1], None, set()),
        ({"pixelSize": 2.0, "unit": 3}, [0, 1], None, set()),
        ({"pixelSize": (-1, float("nan")), "frameInterval": 0}, [0, 1], None, set()),
        ({"pixelSize": ("x", 1), "frameInterval": "fast"}, [0, 1], None, set()),
        ({"pixelSize": (1, 1), "unit": "a\0b\ud800"}, [0, 1], "a", {"pixel_size", "pixel_unit"}),
    ],
)
def test_metadata_that_say_little_or_nonsense(tmp_path, metadata, row, units, attributes):
    save(MPI.COMM_SELF, tmp_path / "a.h5", values((2, 3, 4)), [], metadata=metadata)
    with h5py.File(tmp_path / "a.h5") as file:
        dataset = file["series"]
        assert axes_of(dataset)[0] == ("row", ["row"], row, units)
        figures = {"pixel_size", "pixel_unit", "frame_interval"}
        assert figures.intersection(dataset.attrs) == attributes


@pytest.mark.parametrize(
    ("dataset", "names"),
    [
        ("time", ["row", "time", "time_axis"]),
        ("row", ["row", "row_axis", "time"]),
        ("time/row", ["row", "row_axis", "time"]),
        ("a/b/series", ["row", "series", "time"]),
    ],
)
def test_a_dataset_may_have_the_name_of_an_axis(tmp_path, dataset, names):
    save(MPI.COMM_SELF, tmp_path / "a.h5", values((3, 4)), [], dataset=dataset)
    with h5py.File(tmp_path / "a.h5") as file:
        assert sorted(file[dataset].parent) == names
        assert [axis.label for axis in file[dataset].dims] == ["row", "time"]
    assert verify(tmp_path / "a.h5").ok
    np.testing.assert_array_equal(load(tmp_path / "a.h5", dataset)[0], values((3, 4)))


def test_a_long_axis_of_pixels_has_a_label_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(scales, "LONGEST", 3)
    save(MPI.COMM_SELF, tmp_path / "a.h5", values((4, 3, 5)), [])
    with h5py.File(tmp_path / "a.h5") as file:
        assert list(file) == ["column", "series", "time"]
        assert [len(axis) for axis in file["series"].dims] == [0, 1, 1]
        assert file["series"].dims[0].label == "row"


def test_damaged_coordinates_are_found(tmp_path):
    save(MPI.COMM_SELF, tmp_path / "a.h5", values((3, 4)), [])
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["time"][2] = 7
    (problem,) = verify(tmp_path / "a.h5").problems
    assert problem.startswith("dataset '/time': bytes [0, 32) do not have their checksum")


def other_value(file):
    file["time"][0] = 9


def other_label(file):
    file["series"].dims[0].label = "x"


def no_scale(file):
    file["series"].dims[1].detach_scale(file["time"])


@pytest.mark.parametrize(
    ("compression", "change"),
    [(None, other_value), (None, other_label), (None, no_scale), ("gzip", other_label)],
)
def test_a_file_with_other_axes_is_not_taken_up(tmp_path, change, compression):
    path = str(tmp_path / "a.h5")
    options = {"shape": (3, 4), "dtype": "u2", "compression": compression}
    writer = hdf5_writer(MPI.COMM_SELF, path, "series", **options)
    writer.write(0, values((3, 4)))
    writer.finish()
    writer.close()
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(ValueError, match="has other axes"):
        hdf5_writer(MPI.COMM_SELF, path, "series", resume=True, **options)


@pytest.mark.ranks
def test_scales_of_other_programs_are_passed_over(tsc, shared_path):
    """A 3-D coordinate, such as netCDF's of a curved grid, is meant only where it is named."""
    array = recording(5, (4, 3), "int16")
    path = shared_path / "a.nc.h5"
    if tsc.rank == 0:
        with h5py.File(path, "w") as file:
            file["movie"] = array
            file["place"] = np.zeros((5, 4, 3))
            file["place"].make_scale("place")
            file["movie"].dims[0].attach_scale(file["place"])
    tsc.comm.Barrier()
    np.testing.assert_array_equal(tsc.loadImages(path).toArray(), array)
    assert tsc.loadImages(path, dataset="place").dtype == np.float64
    with pytest.raises((ValueError, FormatError), match="no dataset 'series'"):
        tsc.loadSeries(path)


@pytest.mark.ranks
def test_a_file_whose_only_images_are_a_scale_is_read(tsc, shared_path):
    path = shared_path / "b.h5"
    if tsc.rank == 0:
        with h5py.File(path, "w") as file:
            file["movie"] = recording(5, (4, 3), "int16")
            file["movie"].make_scale()
    tsc.comm.Barrier()
    assert tsc.loadImages(path).count() == 5
