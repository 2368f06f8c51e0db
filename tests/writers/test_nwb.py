"""NWB files: what pynwb and NWB Inspector make of them, and what mpimages itself does."""

import hashlib
import itertools
import json
import os
import shutil
import warnings

import h5py
import numpy as np
import pytest

from mpimages import ThunderContext, verify
from mpimages.writers.nwb.checks import OPTICS

from ..support.data import DTYPES, recording, same_bits, spread

ranks = pytest.mark.ranks
few_ranks = pytest.mark.few_ranks
FACTS = {
    "identifier": "m1-2026-03-01",
    "sessionDescription": "Gratings, and the mouse runs",
    "sessionStartTime": "2026-03-01T14:30:00+01:00",
    "fileCreateDate": "2026-03-02T10:00:00Z",
    "device": {"name": "Scope 2", "description": "A microscope"},
    "indicator": "GCaMP6f",
    "location": "VISp",
    "excitationLambda": 920,
    "emissionLambda": 520.5,
    "opticalChannel": "525/50 nm",
    "description": "Layer 2/3",
    "subject": {
        "subject_id": "m1",
        "species": "Mus musculus",
        "sex": "F",
        "age": "P90D",
        "description": "A mouse",
        "date_of_birth": "2025-12-01T00:00:00+01:00",
    },
    "general": {
        "experimenter": ["Doe, Jane", "Müller, Ö."],
        "institution": "An institute",
        "keywords": ["two-photon"],
        "experiment_description": "Tuning",
        "lab": "A lab",
    },
}
TIMES = {"pixelSize": (1.5, 0.5), "unit": "µm", "frameInterval": 0.1}
DATA = "acquisition/TwoPhotonSeries/data"


def plain(facts=FACTS, **more):
    """The facts without those of a plane, for an ImageSeries."""
    return {n: v for n, v in facts.items() if n not in OPTICS or n == "device"} | more


def images_of(tsc, array, **metadata):
    images = spread(tsc, array)
    images.metadata.update(metadata or TIMES)
    return images


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def oracles():
    """pynwb's reader and validator, and NWB Inspector."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import nwbinspector
        import pynwb

    def read(path):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            assert pynwb.validate(path=str(path)) == []
            io = pynwb.NWBHDF5IO(str(path), "r")
            file = io.read()
        assert not [w for w in told if "cached" not in str(w.message)], [str(w) for w in told]
        return io, file

    def inspect(path):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [
                (str(found.importance), found.check_function_name)
                for found in nwbinspector.inspect_nwbfile(nwbfile_path=str(path))
            ]

    return read, inspect


# -- what others read ----------------------------------------------------------------------


def test_pynwb_reads_images_and_all_that_is_said_of_them(tsc, tmp_path, oracles):
    read, inspect = oracles
    array = recording(30, (7, 5), "uint16")
    images_of(tsc, array).saveAsNWB(tmp_path / "o.nwb", unit="photons", **FACTS)
    io, file = read(tmp_path / "o.nwb")
    with io:
        series = file.acquisition["TwoPhotonSeries"]
        assert type(series).__name__ == "TwoPhotonSeries"
        for number, image in enumerate(array):  # x first, so that it is the transpose
            assert np.array_equal(series.data[number], image.T)
        assert series.dimension[:].tolist() == [5, 7]
        assert (series.rate, series.starting_time, series.timestamps) == (10.0, 0.0, None)
        assert (series.unit, series.description) == ("photons", "Layer 2/3")
        assert (series.conversion, series.offset, series.resolution) == (1, 0, -1)
        plane = series.imaging_plane
        assert (plane.indicator, plane.location) == ("GCaMP6f", "VISp")
        assert plane.excitation_lambda == 920
        assert plane.grid_spacing[:].tolist() == [0.5, 1.5]
        assert plane.grid_spacing_unit == "micrometers"
        [channel] = plane.optical_channel
        assert (channel.emission_lambda, channel.description) == (520.5, "525/50 nm")
        assert plane.device is file.devices["Scope 2"]
        assert plane.device.description == "A microscope"
        assert file.identifier == FACTS["identifier"]
        assert file.session_description == FACTS["sessionDescription"]
        assert file.session_start_time.isoformat() == FACTS["sessionStartTime"]
        assert file.timestamps_reference_time == file.session_start_time
        assert [d.isoformat() for d in file.file_create_date] == ["2026-03-02T10:00:00+00:00"]
        for name, value in FACTS["general"].items():
            found = getattr(file, name)
            assert (found if isinstance(found, str) else list(found)) == value, name
        for name in ("subject_id", "species", "sex", "age", "description"):
            assert getattr(file.subject, name) == FACTS["subject"][name]
        assert file.subject.date_of_birth.isoformat() == FACTS["subject"]["date_of_birth"]
        ids = [item.object_id for item in file.all_children()]
        assert len(ids) == len(set(ids)) > 5
    # Only what the arguments cannot say: a description of the plane.
    assert {kind for kind, _ in inspect(tmp_path / "o.nwb")} <= {
        "Importance.BEST_PRACTICE_SUGGESTION"
    }


@pytest.mark.parametrize("kind", ["TwoPhotonSeries", "OnePhotonSeries", "ImageSeries"])
def test_types_names_volumes_and_times(tsc, tmp_path, oracles, kind):
    read, _ = oracles
    array = recording(9, (4, 5, 3), "float32")
    images = images_of(tsc, array, pixelSize=(1.0, 2.0, 3.0), unit="nm", frameInterval=0.1)
    given = FACTS if kind != "ImageSeries" else plain()
    options = {"series": kind, "name": "green", **given}
    images.filterOnKeys(lambda key: key not in (0, 3)).saveAsNWB(
        tmp_path / "odd.nwb", startingTime=2.0, **options
    )
    images.filterOnKeys(lambda key: key % 3 == 1).saveAsNWB(tmp_path / "even.nwb", **options)
    stamps = np.arange(9) ** 2 + 0.5
    images.saveAsNWB(tmp_path / "given.nwb", timestamps=stamps, **options)
    kept = {"odd": [1, 2, 4, 5, 6, 7, 8], "even": [1, 4, 7], "given": list(range(9))}
    for name, keys in kept.items():
        io, file = read(tmp_path / f"{name}.nwb")
        with io:
            series = file.acquisition["green"]
            assert type(series).__name__ == kind
            assert np.array_equal(series.data[:], array[keys].transpose(0, 2, 1, 3))
            if name == "even":
                assert series.rate == pytest.approx(1 / 0.3)
                assert series.starting_time == pytest.approx(0.1)
            else:
                expected = stamps if name == "given" else 2 + 0.1 * np.array(keys)
                assert np.allclose(series.timestamps[:], expected)
                assert series.rate is None
            if kind == "ImageSeries":
                assert series.device.name == "Scope 2"
            else:
                assert series.imaging_plane.grid_spacing[:].tolist() == [2, 1, 3]
                assert series.imaging_plane.grid_spacing_unit == "nanometers"
        again = tsc.loadImages(tmp_path / f"{name}.nwb")
        assert np.array_equal(again.toArray(), array[keys])
        found = again.metadata.get("frameInterval")
        assert found == (
            pytest.approx(0.3) if name == "even" else None if name == "given" else found
        )
        assert again.metadata["pixelSize"] == (1.0, 2.0, 3.0)


@pytest.mark.parametrize("volumes", [False, True])
def test_pynwb_reads_traces_and_regions(tsc, tmp_path, oracles, volumes):
    read, inspect = oracles
    dims = (7, 5, 3) if volumes else (7, 5)
    mask = np.zeros(dims, int)
    mask[1:3, 1:3], mask[4:, 2:], mask[0, 4] = 7, 2, -1  # the order is that of the labels
    array = recording(30, dims, "uint16")
    _, traces = images_of(tsc, array).toSeries().meanByRegions(mask)
    series = tsc.loadSeriesFromArray(traces)
    series.saveAsNWB(tmp_path / "o.nwb", mask, frameInterval=0.1, unit="a.u.", **FACTS)
    lists = [np.argwhere(mask == label).tolist() for label in (-1, 2, 7)]
    weights = [np.linspace(0.5, 1, len(one)).tolist() for one in lists]
    series.toTimeSeries().saveAsNWB(
        tmp_path / "w.nwb", lists, weights, interface="DfOverF", frameInterval=0.1, **FACTS
    )
    for name, kind in (("o", "Fluorescence"), ("w", "DfOverF")):
        io, file = read(tmp_path / f"{name}.nwb")
        with io:
            found = file.processing["ophys"][kind]["RoiResponseSeries"]
            assert np.array_equal(found.data[:], traces.T)
            assert (found.rate, found.unit) == (10.0, "n.a." if name == "w" else "a.u.")
            table = found.rois.table
            assert found.rois.data[:].tolist() == table.id[:].tolist() == [0, 1, 2]
            assert table.imaging_plane.indicator == "GCaMP6f"
            for number, pixels in enumerate(lists):
                rows = table["voxel_mask" if volumes else "pixel_mask"][number]
                masks = [[y, x, *z] for x, y, *z, _ in (tuple(row) for row in rows.tolist())]
                assert masks == pixels
                each = weights[number] if name == "w" else np.ones(len(pixels))
                assert np.allclose([row[-1] for row in rows], each)
        kinds = {kind for kind, _ in inspect(tmp_path / f"{name}.nwb")}
        assert kinds <= {"Importance.BEST_PRACTICE_SUGGESTION"}
        again = tsc.loadSeries(tmp_path / f"{name}.nwb")
        assert same_bits(again.toArray(), traces)
        assert again.metadata["frameInterval"] == 0.1
        assert verify(tmp_path / f"{name}.nwb").ok


# -- what is missing, or cannot be ---------------------------------------------------------


def test_one_error_lists_all_that_is_missing(tsc, tmp_path):
    images = tsc.loadImagesFromArray(recording(3, (4, 5), "uint8"))
    series = tsc.loadSeriesFromArray(recording(2, (9,), "float64"))
    regions = [[(0, 0)], [(1, 1)]]
    session = ["identifier", "sessionDescription", "sessionStartTime", "frameInterval"]
    with pytest.raises(ValueError, match="ImageSeries") as told:
        images.saveAsNWB(tmp_path / "o.nwb")
    assert all(f"{name}=" in str(told.value) for name in [*session, *OPTICS])
    with pytest.raises(ValueError, match="identifier=") as told:
        images.saveAsNWB(tmp_path / "o.nwb", series="ImageSeries")
    assert all(f"{name}=" in str(told.value) for name in session)
    assert not any(name in str(told.value) for name in OPTICS)
    with pytest.raises(ValueError, match="indicator=") as told:
        series.saveAsNWB(tmp_path / "o.nwb", regions, **plain())
    assert "identifier" not in str(told.value)
    assert "ImageSeries" not in str(told.value)
    images.metadata["frameInterval"] = 0.1
    with pytest.raises(ValueError, match="location=") as told:
        images.saveAsNWB(tmp_path / "o.nwb", **{**FACTS, "location": None})
    assert "frameInterval" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


@ranks
@few_ranks
def test_what_cannot_be_is_refused_on_all_ranks(tsc, shared_path):
    array = recording(6, (4, 5), "uint8")
    images, out = images_of(tsc, array), shared_path / "o.nwb"
    series = images.toSeries()
    traces = tsc.loadSeriesFromArray(recording(2, (9,), "float64"))
    regions = [[(0, 0)], [(1, 1)]]
    twice = tsc.loadSeriesFromArray(recording(2, (9,), "float64"), index=[0] * 9)
    for error, call in [
        ("timestamps has 5", lambda: images.saveAsNWB(out, timestamps=range(5), **FACTS)),
        ("frameInterval has no effect", lambda: images.saveAsNWB(
            out, timestamps=range(6), frameInterval=1, **FACTS)),
        ("startingTime has no effect", lambda: images.saveAsNWB(
            out, timestamps=range(6), startingTime=1, **FACTS)),
        ("indicator", lambda: images.saveAsNWB(
            out, series="ImageSeries", **plain(indicator="x"))),
        ("no time zone", lambda: images.saveAsNWB(
            out, **{**FACTS, "sessionStartTime": "2026-03-01T14:30:00"})),
        ("not of whole minutes", lambda: images.saveAsNWB(
            out, **{**FACTS, "sessionStartTime": "1890-03-01T14:30:00+01:05:21"})),
        ("frameInterval=5e-324: the rate", lambda: images.saveAsNWB(
            out, frameInterval=5e-324, **FACTS)),
        ("beyond the range of float64", lambda: images.saveAsNWB(
            out, frameInterval=1e308, startingTime=1e308, **FACTS)),
        ("rows and columns", lambda: images.reshape(20).saveAsNWB(out, **FACTS)),
        ("2 or 3 axes", lambda: images.reshape(2, 2, 5, 1).saveAsNWB(out, **FACTS)),
        ("does not increase", lambda: twice.saveAsNWB(
            out, regions, frameInterval=1, **FACTS)),
        ("regions are 2, but the Series has 20", lambda: series.saveAsNWB(
            out, regions, **FACTS)),
        ("2 or 3 axes, of at most", lambda: traces.saveAsNWB(
            out, [[(2**31 - 1,) * 3], [(1, 1, 1)]], frameInterval=1, **FACTS)),
        ("filter", lambda: traces.filter(lambda key, value: value[0] > 1e9).saveAsNWB(
            out, regions, frameInterval=1, **FACTS)),
        ("mask", lambda: traces.saveAsNWB(
            out, np.zeros((4, 5), int), frameInterval=1, **FACTS)),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=error):
            call()
    for half, *more in (
        (images.astype("float16", casting="unsafe"),),
        (traces.astype("float16", casting="unsafe"), regions),
    ):
        with pytest.raises(TypeError, match="has no float16"):
            half.saveAsNWB(out, *more, frameInterval=1, **FACTS)
    assert list(shared_path.iterdir()) == []


# -- the same bytes ------------------------------------------------------------------------


@ranks
def test_bytes_do_not_depend_on_ranks_nor_budgets(tsc, comm, shared_path):
    """Against what one rank writes, of the same images in memory."""
    forms = [{}, {"chunks": (3, 2, 4)}, {"compression": "gzip"}]
    dtypes = ("uint16", "float64", ">i4") if comm.size == 1 else ("uint16",)
    for number, (dtype, form) in enumerate(itertools.product(dtypes, forms)):
        array = recording(13, (6, 5), "uint16").astype(dtype)
        write_both(tsc, array, shared_path, f"all-{number}", form)
        if comm.rank == 0:
            alone = comm.Create_group(comm.group.Incl([0]))
            with ThunderContext(alone, memory="2MB") as single:
                write_both(single, array, shared_path, f"one-{number}", form)
            alone.Free()
            for kind in ("", "-traces"):
                assert digest(shared_path / f"one-{number}{kind}.nwb") == digest(
                    shared_path / f"all-{number}{kind}.nwb"
                )
            assert verify(shared_path / f"all-{number}.nwb").ok
        comm.Barrier()
        again = tsc.loadImages(shared_path / f"all-{number}.nwb")
        assert same_bits(again.toArray(), array.astype(np.dtype(dtype).newbyteorder("=")))
        assert again.metadata == {**TIMES, "frameInterval": 0.5}


def write_both(context, array, path, name, form):
    """Write images, and traces beside them."""
    given = {**FACTS, "frameInterval": 0.5, **form}
    images_of(context, array).saveAsNWB(path / f"{name}.nwb", **given)
    if "chunks" in form:
        given["chunks"] = (4, 2)
    traces = context.loadSeriesFromArray(recording(3, (9,), "float32"))
    regions = [[(0, 0)], [(1, 1), (1, 2)], [(3, 4)]]
    traces.saveAsNWB(path / f"{name}-traces.nwb", regions, **given)


@ranks
@few_ranks
def test_every_dtype_and_odd_collections(tsc, shared_path):
    for number, dtype in enumerate(DTYPES):
        if dtype == "float16":  # which NWB does not have
            continue
        dims = (3, 4) if number % 2 else (3, 4, 1 + number % 3)
        array = recording(1 + number % 3, dims, dtype)
        images = tsc.loadImagesFromArray(array)
        images.saveAsNWB(shared_path / f"{dtype}.nwb", frameInterval=1, **FACTS)
        assert same_bits(tsc.loadImages(shared_path / f"{dtype}.nwb").toArray(), array)
    array = recording(8, (5, 6), "uint16")
    undeclared = images_of(tsc, array).apply(lambda image: image[:4] * 2.0)
    for name, images, expected in [
        ("undeclared", undeclared, array[:, :4] * 2.0),
        ("cached", undeclared.cache(), array[:, :4] * 2.0),
        ("binned", images_of(tsc, array).timeBin(4, how="sum"), array.reshape(2, 4, 5, 6).sum(1)),
        ("renumbered", images_of(tsc, array).filterOnKeys(lambda k: k % 3 > 0).renumber(),
         array[[1, 2, 4, 5, 7]]),
        ("turned", images_of(tsc, array).rotate(), np.rot90(array, axes=(1, 2))),
    ]:  # fmt: skip
        images.saveAsNWB(shared_path / f"{name}.nwb", **FACTS)
        assert np.array_equal(tsc.loadImages(shared_path / f"{name}.nwb").toArray(), expected)


class Stop(Exception):
    """What the steps of these tests raise."""


@ranks
@few_ranks
@pytest.mark.parametrize("form", [{}, {"compression": "gzip"}], ids=["plain", "gzip"])
def test_a_job_that_is_resumed_keeps_the_date_at_which_it_was_begun(
    tsc, comm, shared_path, form, monkeypatch
):
    monkeypatch.setattr("mpimages.conversion.resume.FLUSH_LEAST", -1.0)
    monkeypatch.setattr("mpimages.engine.runner.BATCH_BYTES", 1)
    array = recording(12, (6, 5), "uint16")
    path, partial = shared_path / "o.nwb", shared_path / ".o.nwb.mpimages-partial"
    facts = {name: value for name, value in FACTS.items() if name != "fileCreateDate"}

    def save(limit, where=path, **options):
        calls = iter(range(100))

        def step(image):
            if next(calls) >= limit:
                raise Stop
            return image

        images_of(tsc, array).apply(step, dims=(6, 5), dtype="uint16").saveAsNWB(
            where, **{**facts, **form, **options}
        )

    with pytest.raises(Stop):
        save(1, resume=True)
    assert not path.exists()
    begun = "2020-09-13T12:26:40+00:00"
    if comm.rank == 0 and form:
        os.utime(partial / ".mpimages-partial.json", (1.6e9, 1.6e9))
    elif comm.rank == 0:  # the file that was begun has its date already
        with h5py.File(partial / "o.nwb", "r") as file:
            begun = file["file_create_date"].asstr()[0]
    with pytest.raises(FileExistsError, match="options"):
        save(100, resume=True, location="MOp")
    save(100, resume=True)
    begun = comm.bcast(begun if comm.rank == 0 else None)
    save(100, shared_path / "whole.nwb", fileCreateDate=begun)
    if comm.rank == 0:
        assert digest(path) == digest(shared_path / "whole.nwb")
    save(100, resume=True)  # it is complete
    with pytest.raises(FileExistsError, match="location"):
        save(100, resume=True, location="MOp")
    with pytest.raises(FileExistsError, match="file_create_date"):
        save(100, resume=True, fileCreateDate="2026-01-01T00:00:00Z")


# -- what becomes of a file ----------------------------------------------------------------


def changes(path):
    """Changes of a file that other programs, or damage, could make; each with its name."""
    with h5py.File(path, "r") as file:
        texts = []

        def note(name, item):
            texts.extend((name, key) for key in item.attrs if key != "checksum")

        file.visititems(note)
    for name, key in [("/", "nwb_version"), *texts]:

        def change(file, name=name, key=key):
            value = file[name].attrs[key]
            if isinstance(value, str):
                file[name].attrs[key] = value[:-1] + ("x" if value[-1:] != "x" else "y")
            elif isinstance(value, h5py.Reference):
                file[name].attrs[key] = file["/general"].ref
            else:
                file[name].attrs[key] = value + 1 if np.ndim(value) == 0 else value[:-1]

        yield f"{name} {key}", change
    yield "a new attribute", lambda file: file[DATA].attrs.create("new", 3)
    yield "a new group", lambda file: file["processing"].create_group("behavior")
    yield (
        "a new dataset",
        lambda file: file["scratch/x"] if False else file.create_dataset("x", data=3),
    )
    yield "another text", lambda file: file["identifier"].write_direct if False else _rewrite(file)
    yield "another link", _relink
    yield "a link out", lambda file: file.__setitem__("out", h5py.ExternalLink("x.h5", "/"))
    yield "nothing", lambda file: None  # as when it is opened for writing, and closed again


def _rewrite(file):
    file["identifier"][()] = "another"


def _relink(file):
    del file["acquisition/TwoPhotonSeries/imaging_plane"]
    file["acquisition/TwoPhotonSeries/imaging_plane"] = h5py.SoftLink("/general")


def test_verify_finds_each_change_and_no_changed_file_is_replaced(tsc, tmp_path):
    images = images_of(tsc, recording(5, (6, 7), "uint16"))
    images.saveAsNWB(tmp_path / "o.nwb", **FACTS)
    assert verify(tmp_path / "o.nwb").ok
    path = tmp_path / "changed.nwb"
    for name, change in changes(tmp_path / "o.nwb"):
        shutil.copy(tmp_path / "o.nwb", path)
        with h5py.File(path, "r+") as file:
            change(file)
        before = path.read_bytes()
        try:
            found = verify(path)
        except ValueError:  # FormatError: without the mark of the dataset
            assert "mpimages_format" in name
        else:
            assert found.problems, name
        with pytest.raises(FileExistsError, match="refusing"):
            images.saveAsNWB(path, overwrite=True, **FACTS)
        assert path.read_bytes() == before, name
    images.saveAsNWB(tmp_path / "o.nwb", overwrite=True, **{**FACTS, "location": "MOp"})
    images.saveAsHDF5(tmp_path / "o.nwb", overwrite=True)
    images.saveAsNWB(tmp_path / "o.nwb", overwrite=True, **FACTS)
    content = bytearray((tmp_path / "o.nwb").read_bytes())
    with h5py.File(tmp_path / "o.nwb", "r") as file:
        content[file[DATA].id.get_offset() + 3] ^= 1
    (tmp_path / "o.nwb").write_bytes(content)
    assert "bytes [0" in str(verify(tmp_path / "o.nwb"))


def test_a_flipped_byte_of_text_is_found(tsc, tmp_path):
    images_of(tsc, recording(5, (6, 7), "uint16")).saveAsNWB(tmp_path / "o.nwb", **FACTS)
    content = (tmp_path / "o.nwb").read_bytes()
    for text in (b"Gratings", b"GCaMP6f", b"NWBFile", b"seconds", b"micrometers", b"525/50"):
        damaged = bytearray(content)
        damaged[content.index(text) + 2] ^= 1
        (tmp_path / "d.nwb").write_bytes(damaged)
        assert verify(tmp_path / "d.nwb").problems, text


def test_series_of_images_are_not_read_with_their_axes_swapped(tsc, tmp_path):
    array = recording(5, (6, 7), "uint16")
    images_of(tsc, array).saveAsNWB(tmp_path / "o.nwb", **FACTS)
    with pytest.raises(ValueError, match="no traces; loadImages"):
        tsc.loadSeries(tmp_path / "o.nwb")
    with pytest.raises(ValueError, match=r"columns first.*toSeries"):
        tsc.loadSeries(tmp_path / "o.nwb", dataset=DATA)
    found = tsc.loadImages(tmp_path / "o.nwb", dataset=DATA).toSeries()
    assert np.array_equal(found.toArray(), np.moveaxis(array, 0, -1))


def test_nothing_in_a_file_depends_on_the_machine(tsc, tmp_path):
    images_of(tsc, recording(5, (6, 7), "uint16")).saveAsNWB(tmp_path / "o.nwb", **FACTS)
    content = (tmp_path / "o.nwb").read_bytes()
    assert os.fsencode(tmp_path) not in content
    with h5py.File(tmp_path / "o.nwb") as file:
        assert json.loads(file[DATA].attrs["metadata"])["frameInterval"] == 0.1
        assert [d.label for d in file[DATA].dims] == ["time", "x", "y"]


@ranks
@few_ranks
@pytest.mark.parametrize("form", [{}, {"chunks": True}, {"compression": "gzip"}], ids=str)
def test_a_job_that_fails_when_its_file_is_whole_is_taken_up(
    tsc, comm, shared_path, form, monkeypatch
):
    """What it has appended to the file is not there twice."""
    images = images_of(tsc, recording(7, (6, 5), "uint16"))
    path = shared_path / "o.nwb"

    def stop(self, overwrite):
        raise Stop

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr("mpimages.writers.output.staging._Output.commit", stop)
        images.saveAsNWB(path, resume=True, **FACTS, **form)
    assert not path.exists()
    images.saveAsNWB(path, resume=True, **FACTS, **form)
    images.saveAsNWB(shared_path / "whole.nwb", **FACTS, **form)
    if comm.rank == 0:
        assert digest(path) == digest(shared_path / "whole.nwb")
        assert path.read_bytes().count(b"mpimages-hdf5-1") == 1


@ranks
@few_ranks
def test_info_says_what_a_file_holds(tsc, comm, shared_path, command):
    images_of(tsc, recording(7, (6, 5), "uint16")).saveAsNWB(shared_path / "i.nwb", **FACTS)
    tsc.loadSeriesFromArray(recording(3, (9,), "float32")).saveAsNWB(
        shared_path / "t.nwb", [[(0, 0)], [(1, 1)], [(2, 2)]], frameInterval=1, **FACTS
    )
    said = command("info", shared_path / "i.nwb")
    if comm.rank == 0:
        assert "6 x 5" in said
        assert "10 images/s" in said
        assert "0.5 µm" in said
        assert "axes=" not in said, "its own axes are not in doubt"
    said = command("info", shared_path / "t.nwb")
    if comm.rank == 0:
        assert "series         3" in said
