"""Reports: their numbers against NumPy, the same page for every number of ranks, odd recordings."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest

from mpimages.report import pictures
from mpimages.report.counts import Counts
from mpimages.report.description import gaps_in
from mpimages.report.gathering import gather
from mpimages.report.judgement import judge
from mpimages.report.script import SCRIPT
from mpimages.report.style import CSS
from mpimages.report.trends import envelope, outliers, repeats, trend
from mpimages.report.words import clock_text, frames_text, number_text, percent_text, time_text
from mpimages.statistics.neighbours import FOUR, local_correlation

from ..support.data import recording, same_bits, spread

pytestmark = pytest.mark.ranks


@pytest.fixture
def drawn_alone(comm, monkeypatch):
    """Pictures are rank 0's own and slow: a rank alone draws them, more leave them out."""
    if comm.size > 1:
        monkeypatch.setattr(pictures, "_image", lambda *given: "")


def gathered(images):
    return gather(*images.records.begin("report"))[0]


def scene(rows, columns, seed=0):
    """Something with structure, of mean 100, to be moved around."""
    rng = np.random.RandomState(seed)
    down, across = np.fft.fftfreq(rows)[:, None], np.fft.fftfreq(columns)[None, :]
    soft = np.exp(-40 * (down**2 + across**2))
    image = np.fft.ifft2(np.fft.fft2(rng.standard_normal((rows, columns))) * soft).real
    return 100 + 20 * image / image.std()


def moved(image, down, right):
    """The image moved by parts of a pixel, around its edges."""
    rows, columns = image.shape
    phase = np.fft.fftfreq(rows)[:, None] * down + np.fft.fftfreq(columns)[None, :] * right
    return np.fft.ifft2(np.fft.fft2(image) * np.exp(-2j * np.pi * phase)).real


def report(images, path, **given):
    """The answer and the page, on all ranks."""
    found = images.report(path, **given)
    page = path.read_bytes()
    images.session.comm.Barrier()
    return found, page


def texts(found):
    return " ".join(finding["text"] for finding in found["findings"])


# -- what is gathered ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype",
    ["uint8", "int8", "uint16", "int16", "int32", "uint64", "float16", "float32", "float64"],
)
@pytest.mark.parametrize("dims", [(9, 7), (6, 5, 3)])
def test_statistics_of_pixels_and_images(tsc, dtype, dims):
    array = recording(11, dims, dtype)
    found = gathered(spread(tsc, array))
    values = array.astype(np.float64)
    np.testing.assert_allclose(found.pixels.mean, values.mean(0), rtol=1e-9)
    np.testing.assert_allclose(found.pixels.stdev, values.std(0), rtol=1e-9)
    assert (found.pixels.max == array.max(0)).all()
    squares = (np.diff(values, axis=0) ** 2).mean(0)
    np.testing.assert_allclose(found.pixels.noise, np.sqrt(squares / 2), rtol=1e-6)
    flat = values.reshape(11, -1)
    np.testing.assert_allclose(found.column("mean"), flat.mean(1), rtol=1e-6)
    assert (found.column("min") == flat.min(1)).all()
    assert (found.column("max") == flat.max(1)).all()
    assert np.isnan(found.column("difference")[0])
    differences = np.abs(np.diff(flat, axis=0)).mean(1)
    np.testing.assert_allclose(
        found.column("difference")[1:], differences, rtol=1e-3 if dtype == "float16" else 1e-6
    )
    assert found.column("checksum").tolist() == [zlib.crc32(image.tobytes()) for image in array]
    assert (found.series == flat[:, found.active]).all()


@pytest.mark.parametrize("dims", [(6, 5), (4, 5, 3), (1, 6), (6, 1)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_local_correlation(tsc, dims, dtype):
    array = recording(40, dims, dtype, seed=3)
    array[:, 0, 0] = 3  # correlates with nothing
    with np.errstate(invalid="ignore", divide="ignore"):
        each = np.corrcoef(array.reshape(40, -1).astype(np.float64).T)
    numbers = np.arange(array[0].size).reshape(dims)
    wanted = np.full(dims, np.nan)
    for place in np.ndindex(*dims):
        beside = [
            (place[0] + a, place[1] + b, *place[2:]) for a, b in ((0, 1), (0, -1), (1, 0), (-1, 0))
        ]
        near = [
            each[numbers[place], numbers[other]]
            for other in beside
            if 0 <= other[0] < dims[0] and 0 <= other[1] < dims[1]
        ]
        near = [value for value in near if np.isfinite(value)]
        wanted[place] = np.mean(near) if near else np.nan
    found = gathered(tsc.loadImagesFromArray(array)).pixels.correlation
    np.testing.assert_allclose(found, wanted, atol=1e-9)


def test_correlation_in_bands_where_memory_is_short(comm):
    from mpimages import ThunderContext

    array = recording(30, (40, 30), "float32")
    with ThunderContext(comm, memory="1GB") as much:
        wanted = gathered(much.loadImagesFromArray(array))
    with ThunderContext(comm, memory="400kB") as little:
        found = gathered(little.loadImagesFromArray(array))
    assert found.pixels.correlation.tobytes() == wanted.pixels.correlation.tobytes()
    assert found.pixels.stdev.tobytes() == wanted.pixels.stdev.tobytes()
    assert found.pixels.noise.tobytes() == wanted.pixels.noise.tobytes()
    assert found.table.tobytes() == wanted.table.tobytes()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_every_small_integer_is_counted(tsc, dtype):
    array = recording(7, (5, 9), dtype)
    found = gathered(spread(tsc, array)).counts
    least = np.iinfo(dtype).min
    wanted = np.bincount(array.reshape(-1).astype(np.int64) - least, minlength=len(found.counts))
    assert (found.counts == wanted).all()
    assert found.edges[0] == least


def test_others_are_counted_in_bins(tsc):
    array = recording(7, (5, 9), "float64")
    array[2, 1, 1] = np.nan
    found = gathered(spread(tsc, array)).counts
    finite = array[np.isfinite(array)]
    ends = np.where(np.isfinite(array), array, 0)
    wanted, edges = np.histogram(finite, 512, (ends.min(), ends.max()))
    assert (found.counts == wanted).all()
    np.testing.assert_allclose(found.edges, edges)


@pytest.mark.parametrize(
    ("dims", "dtype", "tolerance"),
    [((64, 70), "float32", 0.1), ((300, 260), "uint16", 0.2), ((40, 44, 3), "float64", 0.15)],
)
def test_shifts_are_found(tsc, dims, dtype, tolerance):
    count = 31
    shifts = np.zeros((count, 2))
    shifts[3], shifts[7], shifts[20:25], shifts[30] = (4, 0), (-2.3, 5.4), (1.5, -0.75), (0, -6)
    image = scene(*dims[:2]) * 10
    frames = np.stack([moved(image, *shift) for shift in shifts])
    if len(dims) == 3:
        frames = np.repeat(frames[..., None], dims[2], axis=3)
    noise = np.random.RandomState(1).standard_normal(frames.shape) * 5
    found = gathered(spread(tsc, (frames + noise).astype(dtype)))
    measured = np.stack([found.column("down"), found.column("right")], axis=1)
    assert np.abs(measured - shifts).max() < tolerance
    judged = judge(found, [])
    assert judged.figures["shift"]["frame"] == 30
    assert judged.figures["shift"]["largest"] == pytest.approx(6, abs=tolerance)
    assert judged.figures["shift"]["above_one_pixel"] == 8


def test_unrelated_images_have_no_shift(tsc):
    noise = np.random.RandomState(0).standard_normal((40, 64, 64))
    found = gathered(tsc.loadImagesFromArray(noise))
    apart = np.r_[0:12, 28:40]  # those that are not part of the reference
    assert np.isnan(found.column("down")[apart]).all()
    assert "cannot be told" in judge(found, []).findings[-1].text


# -- what is judged ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bad():
    """A recording with one of each fault, (n, 40, 48) uint16."""
    count = 200
    rng = np.random.RandomState(5)
    image = scene(40, 48) * 8
    frames = np.stack(
        [
            moved(image, *((4.2, 0) if i == 150 else (0, 0))) * (1 - 0.2 * i / (count - 1))
            for i in range(count)
        ]
    )
    frames = (frames + rng.standard_normal(frames.shape) * 6).clip(0, 4095)
    frames[:, :40, :3] = 4095
    frames[60:62] = 100
    frames = frames.astype(np.uint16)
    frames[121:125] = frames[120]
    frames[180] = frames[10]
    return frames


@pytest.mark.usefixtures("drawn_alone")
@pytest.mark.slow
@pytest.mark.few_ranks
def test_every_fault_is_found(tsc, bad, shared_path):
    found, page = report(spread(tsc, bad), shared_path / "bad.html")
    said = texts(found)
    for words in (
        "6.2 % of the pixels are saturated",
        "are 4095",
        "Frames 60–61 are blank",
        "Frames 120–124 are identical",
        "Frame 180 repeats frame 10",
        "at frame 150",
        "Intensity falls by",
    ):
        assert words in said, said
    assert "missing" not in said
    figures = found["figures"]
    assert figures["saturation"]["at"] == 4095
    assert figures["saturation"]["values"] == pytest.approx((bad == 4095).mean())
    assert figures["saturation"]["pixels"] == pytest.approx((bad.max(0) == 4095).mean())
    assert figures["shift"]["largest"] == pytest.approx(4.2, abs=0.2)
    assert figures["shift"]["above_one_pixel"] == 1
    assert figures["blank"] == [[60, 61]]
    assert figures["identical"] == [[120, 124]]
    assert figures["repeated"] == [[180, 10]]
    means = np.delete(bad, [60, 61], axis=0).mean((1, 2))
    wanted = (means[-1] - means[0]) / means[0]
    assert figures["bleaching"]["change"] == pytest.approx(wanted, abs=0.01)
    assert all(finding["text"] in page.decode() for finding in found["findings"])


def still_cells(rng, count, side, noise, brightness):
    """A faint, uneven background on which few cells fire, each by itself."""
    y, x = np.mgrid[:side, :side]
    cells = [
        np.exp(-((y - r) ** 2 + (x - c) ** 2) / 12) for r, c in rng.randint(3, side - 3, (20, 2))
    ]
    active = (rng.random_sample((count, 20)) < 0.1) * brightness
    light = 120 + 60 * np.exp(-((y - side / 2) ** 2 + (x - side / 2) ** 2) / (30 * side))
    movie = light + np.tensordot(active, np.stack(cells), 1)
    return (movie + rng.standard_normal(movie.shape) * noise).clip(0, 65535).astype(np.uint16)


@pytest.mark.usefixtures("drawn_alone")
@pytest.mark.slow
@pytest.mark.few_ranks
@pytest.mark.parametrize(
    ("noise", "brightness"), [(12, 80), (1, 200), (3, 2000), (30, 0), (8, 3000)]
)
@pytest.mark.parametrize("count", [12, 60])
def test_a_still_recording_does_not_move(tsc, noise, brightness, count):
    for seed in range(5):
        movie = still_cells(np.random.RandomState(seed), count, 64, noise, brightness)
        found = judge(gathered(spread(tsc, movie)), [])
        assert [
            one.text for one in found.findings if one.level == "warning" and one.topic == "shift"
        ] == []


@pytest.mark.usefixtures("drawn_alone")
@pytest.mark.slow
@pytest.mark.few_ranks
@pytest.mark.parametrize("noise", [2, 10])
@pytest.mark.parametrize("shift", [(3, 0), (-1.2, 1.6), (2, -5)])
@pytest.mark.parametrize("kind", ["texture", "cells", "volumes"])
def test_what_moves_is_said_to_move(tsc, noise, shift, kind):
    rng = np.random.RandomState(8)
    image = scene(80, 72)
    if kind == "cells":
        image = still_cells(rng, 2, 80, 0, 0)[0] + 0.0
        y, x = np.mgrid[:80, :80]
        for r, c in rng.randint(0, 80, (25, 2)):
            image += 120 * np.exp(-((y - r) ** 2 + (x - c) ** 2) / 12)
    frames = np.stack([moved(image, *(shift if i % 15 == 3 else (0, 0))) for i in range(60)])
    frames = (frames + rng.standard_normal(frames.shape) * noise).clip(0, 65535).astype(np.uint16)
    frames = frames[:, 8:-8, 8:-8]
    if kind == "volumes":
        frames = np.stack([frames, frames], axis=-1)
    judged = judge(gathered(spread(tsc, frames)), [])
    assert judged.figures["shift"]["largest"] == pytest.approx(np.hypot(*shift), abs=0.6)
    assert judged.figures["shift"]["above_one_pixel"] >= (4 if noise < 10 else 3)


def innocent(kind, rng):
    """A recording that nobody would complain of."""
    shape = (60, 48, 48)
    if kind == "steady":
        return rng.normal(200, 20, (3 + rng.randint(8), 24, 24)).astype(np.float32)
    if kind == "signed":
        return rng.normal(3, 30, shape).astype(np.int16)
    if kind == "full range":
        return rng.randint(0, 256, shape).astype(np.uint8)
    if kind == "few photons":
        return rng.poisson(rng.uniform(0.05, 3), shape).astype(np.uint16)
    if kind == "hardly any photon":
        return rng.poisson(0.0005, shape).astype(np.uint8)
    if kind == "few pixels":
        return rng.normal(100, 2, (300, 2, 2)).astype(np.uint8)
    if kind == "hot pixel":
        movie = rng.normal(1000, 30, shape)
        movie[:, 5, 5] = 3000
        return movie.astype(np.uint16)
    if kind == "up and down":
        light = 15 * np.sin(np.arange(60) / 10 + rng.uniform(0, 6))[:, None, None]
        return (rng.normal(200, 20, shape) + light).astype(np.uint16)
    assert kind == "active"
    return still_cells(rng, 60, 48, 8, 3000)


@pytest.mark.usefixtures("drawn_alone")
@pytest.mark.slow
@pytest.mark.few_ranks
@pytest.mark.parametrize(
    "kind",
    [
        "steady",
        "signed",
        "full range",
        "few photons",
        "hardly any photon",
        "few pixels",
        "hot pixel",
        "up and down",
        "active",
    ],
)
def test_an_innocent_recording_is_not_warned_of(tsc, kind):
    # The figures are the same on any number of ranks: a rank alone tries most recordings.
    for seed in range(20 if tsc.size == 1 else 2):
        movie = innocent(kind, np.random.RandomState(seed))
        found = judge(gathered(spread(tsc, movie)), []).findings
        assert [one.text for one in found if one.level == "warning"] == [], seed
        assert "floor" not in {one.topic for one in found}


@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_faults_are_found_among_few_photons(tsc, rate):
    movie = np.random.RandomState(4).poisson(rate, (80, 40, 40)).astype(np.uint8)
    movie[50], movie[70], movie[20] = movie[49], movie[3], 0
    found = judge(gathered(spread(tsc, movie)), []).findings
    assert {one.topic for one in found if one.level == "warning"} == {
        "blank",
        "identical",
        "repeated",
    }
    assert "unchanged" not in {one.topic for one in found}


@pytest.mark.usefixtures("drawn_alone")
@pytest.mark.slow
@pytest.mark.few_ranks
def test_a_good_recording_has_nothing_conspicuous(tsc, shared_path):
    image = scene(48, 40) * 5
    frames = image + np.random.RandomState(0).standard_normal((60, 48, 40)) * 10
    found, page = report(tsc.loadImagesFromArray(frames.astype(np.uint16)), shared_path / "r.html")
    assert found["findings"] == []
    assert b"Nothing conspicuous." in page


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_noise_and_signal_of_each_pixel(tsc, dtype):
    """Noise is what changes from frame to frame, whatever changes slowly."""
    rng = np.random.RandomState(0)
    count = 400
    movie = rng.normal(1000, 1, (count, 32, 32)) * 1.0
    movie = 1000 + (movie - 1000) * np.where(np.arange(32) < 16, 20, 40)
    slow = 100 * np.sin(np.arange(count) / 40)[:, None, None]
    movie[:, :16] += slow
    found = gathered(spread(tsc, movie.astype(dtype)))
    assert np.median(found.pixels.noise[:, :16]) == pytest.approx(20, rel=0.02)
    assert np.median(found.pixels.noise[:, 16:]) == pytest.approx(40, rel=0.02)
    judged = judge(found, [])
    assert np.median(judged.snr[:16, :16]) == pytest.approx(slow.std() / 20, rel=0.05)
    assert np.median(judged.snr[16:]) < 0.3
    assert judged.figures["snr"]["lasting"] == pytest.approx(0.5, abs=0.01)
    assert 20 < judged.figures["noise"]["median"] < 40


@pytest.mark.slow
@pytest.mark.few_ranks
def test_noise_alone_has_no_lasting_signal(tsc):
    for seed in range(20):
        rng = np.random.RandomState(seed)
        for movie in (rng.normal(50, 9, (60, 30, 30)), rng.poisson(0.2, (60, 30, 30))):
            images = tsc.loadImagesFromArray(movie.astype(np.uint8))
            judged = judge(gathered(images), [])
            assert judged.figures["snr"]["lasting"] < 0.01
            assert not any(one.is_clear for one in judged.active)


def test_active_pixels_are_those_of_cells(tsc):
    movie = still_cells(np.random.RandomState(3), 100, 64, 8, 300)
    found = gathered(spread(tsc, movie))
    active = judge(found, []).active
    assert all(one.is_clear for one in active[:6])
    assert all(one.has_ratio for one in active)
    one = active[0]
    values = movie[(slice(None), *one.pixel)].astype(np.float64)
    wanted = np.percentile(values, 20)
    assert one.baseline == wanted
    assert 6 < one.noise < 16 < found.pixels.noise[one.pixel]  # what a cell does adds little
    np.testing.assert_allclose(one.shown, values / wanted - 1)
    assert one.peak == pytest.approx(values.max() / wanted - 1)
    dark = (movie - 120).clip(0).astype(np.int16) - 50
    assert not any(one.has_ratio for one in judge(gathered(spread(tsc, dark)), []).active)


def test_frames_with_findings_are_named_by_their_files(tsc, comm, bad, shared_path):
    import tifffile

    if comm.rank == 0:
        tifffile.imwrite(
            shared_path / "movie.tif",
            bad[:80],
            imagej=True,
            metadata={"finterval": 0.5, "axes": "TYX"},
        )
        (shared_path / "many").mkdir()
        for i in range(58, 64):
            tifffile.imwrite(shared_path / "many" / f"t_{i:03d}.tif", bad[i])
    comm.Barrier()
    found, page = report(tsc.loadImages(str(shared_path / "movie.tif")), shared_path / "a.html")
    assert found["frames"] == [
        {
            "topic": "blank",
            "text": "blank",
            "first": 60,
            "last": 61,
            "seconds": 30.0,
            "file": "movie.tif",
            "page": 60,
            "last_file": "movie.tif",
            "last_page": 61,
        }
    ]
    assert b'<td class="time">30 s</td><td>movie.tif, pages 60\xe2\x80\x9361</td>' in page
    assert b"time (s)" in page
    assert found["recording"]["metadata"]["frame_interval"] == 0.5
    found, page = report(tsc.loadImages(shared_path / "many"), shared_path / "b.html")
    assert [(one["file"], one["last_file"]) for one in found["frames"]] == [
        ("t_060.tif", "t_061.tif")
    ]
    assert "seconds" not in found["frames"][0]
    assert b"time (" not in page


def test_the_interval_that_is_given_wins(tsc, shared_path):
    images = tsc.loadImagesFromArray(recording(50, (20, 21), "uint8"))
    found, page = report(images, shared_path / "a.html", interval=60)
    assert found["recording"]["metadata"]["frame_interval"] == 60
    assert b"time (min)" in page
    assert b"50 min 0 s" in page
    for wrong in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="interval must be greater than 0"):
            images.report(shared_path / "b.html", interval=wrong)
    with pytest.raises(TypeError, match="interval must be a number"):
        images.report(shared_path / "b.html", interval="1 s")


def test_the_foot_says_version_and_options(tsc, comm, shared_path):
    import tifffile

    from mpimages import __version__

    if comm.rank == 0:
        tifffile.imwrite(
            shared_path / "a.tif", recording(8, (9, 10), "uint8"), photometric="minisblack"
        )
    comm.Barrier()
    images = tsc.loadImages(str(shared_path / "a.tif"), nplanes=1, startIdx=2)
    _, page = report(images.crop((0, 0), (8, 8)), shared_path / "a.html")
    foot = page[page.index(b"<footer>") :].decode()
    assert f"version {__version__}" in foot
    assert "nplanes=1, images 2 to 7 of 8, steps: crop" in foot


def test_all_keys_of_the_answer_are_in_snake_case(tsc, bad, shared_path):
    def keys(value):
        if isinstance(value, dict):
            yield from value
            value = list(value.values())
        if isinstance(value, list):
            for part in value:
                yield from keys(part)

    found, _ = report(tsc.loadImagesFromArray(bad), shared_path / "a.html", interval=0.1)
    assert [key for key in keys(found) if not re.fullmatch("[a-z0-9_]+", key)] == []


def test_keys_name_the_frames(tsc, bad):
    images = tsc.loadImagesFromArray(bad).filterOnKeys(lambda key: key >= 50)
    assert judge(gathered(images), []).figures["blank"] == [[60, 61]]


def test_the_ceiling():
    def ceiling(values, dtype, pixels=None):
        counts = Counts(np.dtype(dtype), 0, 1)
        counts.add(np.asarray(values, dtype))
        from mpimages.report.judgement import ceiling_of

        return ceiling_of(counts, np.full(9, max(values)) if pixels is None else pixels)

    ramp = list(range(100)) * 3
    assert ceiling([*ramp, 255], "uint8") == 255
    assert ceiling(list(range(256)) * 30, "uint8") is None  # as often as any other
    assert ceiling([*list(range(256)) * 30, *[255] * 60], "uint8") == 255
    assert ceiling([4 * value for value in [*ramp, *[100] * 10]], "uint16") is None
    # The only pixel that is so bright.
    assert ceiling([*ramp, *[120] * 40], "uint8", np.r_[np.arange(100), 120]) is None
    assert ceiling(ramp, "uint8") is None
    assert ceiling([*ramp, *[100] * 40], "uint8") == 100
    assert ceiling([1, 2, *[3] * 40], "uint8") is None
    assert ceiling([*ramp, 32767], "int16") == 32767
    assert ceiling([*ramp, 32767], "float32") is None


@pytest.mark.usefixtures("drawn_alone")
@pytest.mark.slow
@pytest.mark.few_ranks
def test_trend():
    x = np.arange(1000)
    values = 500 - 0.1 * x + np.random.RandomState(0).standard_normal(1000)
    values[::50] = 9000
    found = trend(values, np.ones(1000, bool))
    assert found.slope == pytest.approx(-0.1, rel=0.02)
    assert found.change == pytest.approx(-0.2, rel=0.02)
    assert found.is_clear
    flat = trend(np.random.RandomState(1).standard_normal(1000) + 50, np.ones(1000, bool))
    assert not flat.is_clear
    assert not trend(np.sin(x / 160), np.ones(1000, bool)).is_clear
    assert not trend(np.arange(7.0), np.ones(7, bool)).is_clear
    assert trend(np.arange(8.0), np.ones(8, bool)).is_clear
    white = np.random.RandomState(2).standard_normal((2000, 11))
    assert sum(trend(row, np.ones(11, bool)).is_clear for row in white) < 12
    assert trend(values[:2], np.ones(2, bool)) is None
    exact = trend(3.0 * np.arange(5) - 3, np.ones(5, bool))
    assert (exact.slope, exact.start, np.isnan(exact.change)) == (3.0, -3.0, True)


def test_outliers_runs_and_repeats():
    values = 100 + np.random.RandomState(0).standard_normal(300)
    values[[40, 200, 201]] = [150, 60, 60]
    assert np.flatnonzero(outliers(values, np.ones(300, bool), 0.05)).tolist() == [40, 200, 201]
    assert not outliers(values, np.ones(300, bool), 0.6).any()
    marks = np.array([[1.0], [2], [2], [2], [1], [np.nan], [np.nan], [3]])
    assert repeats(marks) == ([(1, 4)], [(4, 0)])
    places, low, high = envelope(np.r_[np.arange(10.0), np.nan], 5)
    assert (len(places), low[0], high[-1]) == (5, 0.0, 9.0)


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (["a1", "a2", "a3", "a7", "a8", *(f"a{i}" for i in range(9, 30))], [3]),
        ([f"t{i:03d}_z0" for i in (0, 2, 4, 8, *range(10, 60, 2))], [1]),
        (["a1", "b2", "a4"], []),
        (["a1", "a2"], []),
        (["a1b1", "a2b2", "a4b4"], []),
        ([f"a{i * i}" for i in range(30)], []),
        (["a", "b", "c"], []),
    ],
)
def test_gaps_between_files(names, missing):
    assert [gap["missing"] for gap in gaps_in([f"{name}.tif" for name in names])] == missing


@pytest.mark.usefixtures("drawn_alone")
@pytest.mark.slow
@pytest.mark.few_ranks
def test_missing_files_are_found(tsc, comm, shared_path):
    import tifffile

    (shared_path / "in").mkdir(exist_ok=True)
    if comm.rank == 0:
        for i in [*range(14), *range(17, 30)]:
            image = recording(1, (6, 7), "uint8", i)[0]
            tifffile.imwrite(shared_path / "in" / f"x_{i:04d}.tif", image)
    comm.Barrier()
    found, page = report(tsc.loadImages(shared_path / "in"), shared_path / "r.html")
    assert "3 files seem to be missing: between x_0013.tif and x_0017.tif." in texts(found)
    assert found["recording"]["files"] == 27
    part, _ = report(tsc.loadImages(shared_path / "in", startIdx=15), shared_path / "p.html")
    assert part["recording"]["first"] == "x_0018.tif"
    assert b"x_0029.tif" in page


@pytest.mark.usefixtures("drawn_alone")
@pytest.mark.slow
@pytest.mark.few_ranks
@pytest.mark.parametrize("codec", [None, "zlib"])
def test_what_was_never_written_is_counted(tsc, comm, shared_path, codec):
    import tifffile

    movie = recording(7, (32, 32), "uint16") + np.uint16(1)
    if comm.rank == 0:
        with tifffile.TiffWriter(shared_path / "movie.tif") as file:
            for image in movie:
                file.write(
                    image,
                    tile=(16, 16),
                    compression=codec,
                    contiguous=False,
                    photometric="minisblack",
                    metadata=None,
                )
        with tifffile.TiffFile(shared_path / "movie.tif", mode="r+b") as file:
            for page, kept in ((1, 0), (5, 0), (6, 3)):
                for tag in (324, 325):
                    field = file.pages[page].tags[tag]
                    field.overwrite([*field.value[:kept], *[0] * (4 - kept)])
    comm.Barrier()
    movie[[1, 5]], movie[6, 16:, 16:] = 0, 0
    images = tsc.loadImages(str(shared_path / "movie.tif"), nplanes=1)
    assert (images.toArray() == movie).all()
    assert (images.toSeries().toArray() == np.moveaxis(movie, 0, -1)).all()
    found, page = report(images, shared_path / "a.html")
    assert found["figures"]["never_written"] == {"pages": 2, "tiles": 1}
    assert "zeros: 2 pages, 1 tile of the files" in texts(found)
    assert b"2 pages, 1 tile" in page
    first = tsc.loadImages(str(shared_path / "movie.tif"), nplanes=1, stopIdx=1)
    found, _ = report(first, shared_path / "b.html")
    assert found["figures"]["never_written"] == {}


@pytest.mark.usefixtures("drawn_alone")
@pytest.mark.slow
@pytest.mark.few_ranks
def test_names_that_are_no_text(tsc, comm, shared_path):
    import os

    import tifffile

    place = os.path.join(os.fsencode(shared_path), b"caf\xe9 <b>")
    if comm.rank == 0:
        os.mkdir(place)
        for i in range(3):
            tifffile.imwrite(os.fsdecode(place) + f"/{i}.tif", recording(1, (6, 7), "uint8", i)[0])
    comm.Barrier()
    found, page = report(tsc.loadImages(os.fsdecode(place)), shared_path / "r.html")
    assert found["recording"]["path"].endswith("caf\\udce9 <b>")
    assert b"<h1>caf\\udce9 &lt;b&gt;</h1>" in page


def test_words():
    assert [percent_text(x) for x in (0, 1e-7, 0.0312, 0.12, 0.9999, 1)] == [
        "0 %",
        "less than 0.001 %",
        "3.1 %",
        "12 %",
        "99.99 %",
        "100 %",
    ]
    assert frames_text([[1, 1], [3, 5]]) == "Frames 1 and 3–5"
    assert frames_text([[1, 1]], lower=True) == "frame 1"
    assert frames_text([[i, i] for i in range(0, 20, 2)]) == "Frames 0, 2, 4 and 7 more"
    assert [number_text(x) for x in (0, 1234.5, 0.012346, 1e9, np.nan)] == [
        "0",
        "1,234",
        "0.01235",
        "1.000e+09",
        "–",
    ]
    assert [time_text(x) for x in (0.0333, 12.5, 620, 7500)] == [
        "33.3 ms",
        "12.5 s",
        "10 min 20 s",
        "2 h 5 min",
    ]
    assert [clock_text(x) for x in (0, 0.0333, 59.94, 61, 3599.96, 7384.3)] == [
        "0 s",
        "0.0333 s",
        "59.94 s",
        "1:01.0 min",
        "1:00:00.0 h",
        "2:03:04.3 h",
    ]


# -- the page ------------------------------------------------------------------------------


class Outside(HTMLParser):
    """What a page would fetch, and whether its elements close."""

    VOID = ("meta", "br", "img", "link")

    def __init__(self):
        super().__init__()
        self.found, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.found += [
            value
            for name, value in attrs
            if name in ("src", "href", "xlink:href") and not value.startswith(("data:", "#"))
        ]
        if tag in ("link", "iframe", "object"):
            self.found.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize(("count", "dims"), [(1, (20, 24)), (2, (20, 24, 2)), (40, (33, 20))])
def test_the_page_is_the_same_for_every_number_of_ranks(tsc, comm, shared_path, dtype, count, dims):
    from mpi4py import MPI

    from mpimages import ThunderContext

    array = recording(count, dims, dtype)
    _, page = report(spread(tsc, array), shared_path / "all.html")
    if comm.rank == comm.size - 1:
        with ThunderContext(MPI.COMM_SELF, memory="100MB") as alone:
            alone.loadImagesFromArray(array).report(shared_path / "alone.html")
    comm.Barrier()
    assert (shared_path / "alone.html").read_bytes() == page


@pytest.mark.slow
@pytest.mark.few_ranks
def test_the_page_stands_alone(tsc, bad, shared_path):
    _, page = report(tsc.loadImagesFromArray(bad), shared_path / "r.html")
    outside = Outside()
    outside.feed(page.decode())
    assert outside.found == []
    assert outside.open == []
    assert re.findall(r"url\((?!#)[^)]*\)|@import", page.decode()) == []
    drawn = re.findall(r"<svg .*?</svg>", page.decode(), re.DOTALL)
    assert len(drawn) == 6 + 4 + 12
    for svg in drawn:
        ElementTree.fromstring(svg)
    assert page.count(b"data:image/png;base64") == 2 * 6  # each with its bar of colours
    for word in ("fetch", "XMLHttp", "import", "http:", "https:", "eval"):
        assert word not in SCRIPT.replace("http://www.w3.org/2000/svg", "")
    used = set(re.findall(r"var\((--[a-z-]+)\)", page.decode()))
    assert used <= set(re.findall(r"(--[a-z-]+):", CSS.split("@media print")[0]))


NAN = np.full((6, 20, 30), np.nan, "float32")
SOME = recording(6, (20, 30), "float32")
SOME[2], SOME[3, 4:8], SOME[4, 0, 0] = np.nan, np.nan, np.inf
ODD = {
    "one image": recording(1, (20, 30), "uint8"),
    "one pixel": recording(5, (1, 1), "uint16"),
    "one pixel once": np.ones((1, 1, 1), np.uint8),
    "two images": recording(2, (20, 30), "int16"),
    "one plane": recording(7, (20, 30, 1), "uint16"),
    "constant": np.full((12, 20, 30), 7, np.uint8),
    "constant floats": np.full((12, 20, 30), 7.5),
    "saturated": np.full((3, 4, 5), 255, np.uint8),
    "zero": np.zeros((5, 20, 30), np.int16),
    "NaN": NAN,
    "some NaN": SOME,
    "half": recording(5, (20, 30), "float16"),
    "64 bits": recording(5, (20, 30), "int64"),
    "huge": recording(5, (20, 30), "float64") * 1e305,
    "tiny": recording(5, (20, 30), "float64") * 1e-312,
    "a row": recording(8, (1, 50), "float64"),
    "a column": recording(8, (50, 1), "uint8"),
    "colours": recording(8, (30, 40, 3), "uint8"),
    "many": recording(2500, (4, 5), "uint8"),
    "large": recording(2, (900, 1000), "uint8"),
    "huge and not small": np.random.RandomState(0).normal(0, 1e305, (80, 80, 70)),
    "alike and huge": np.random.RandomState(0).choice([1e200, 1e201], (9, 20, 30)),
    "yes and no": np.random.RandomState(0).random_sample((30, 20, 25)) < 0.5,
}


@pytest.mark.usefixtures("drawn_alone")
@pytest.mark.slow
@pytest.mark.few_ranks
@pytest.mark.parametrize("name", ODD)
def test_odd_recordings_have_a_page(tsc, shared_path, name):
    found, page = report(spread(tsc, ODD[name]), shared_path / "r.html")
    assert re.search(rb"</html>\n<!-- crc32 [0-9a-f]{8} -->\n\Z", page)
    assert found["recording"]["images"] == len(ODD[name])
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    numbers = re.sub(r'base64,[^"]*|data-.="[^"]*', "", page.decode().split("<script>")[0])
    assert not re.search(r"\b(nan|inf)\b", numbers)
    if "NaN" in name:
        assert "NaN" in texts(found)


@pytest.mark.usefixtures("drawn_alone")
@pytest.mark.slow
@pytest.mark.few_ranks
def test_undeclared_functions(tsc, shared_path):
    array = recording(9, (8, 9), "uint8")
    found, _ = report(tsc.loadImagesFromArray(array).apply(lambda v: v / 2), shared_path / "r.html")
    assert found["recording"]["dtype"] == "float64"


@pytest.mark.parametrize("dims", [(7,), (2, 3, 4, 5)])
def test_neither_images_nor_volumes(tsc, shared_path, dims):
    images = tsc.loadImagesFromArray(recording(3, (4, 5), "uint8"))
    strange = images.apply(lambda _: np.zeros(dims))
    with pytest.raises(ValueError, match="images or volumes"):
        strange.report(shared_path / "r.html")
    assert list(shared_path.iterdir()) == []


# -- the file ------------------------------------------------------------------------------


@pytest.mark.usefixtures("drawn_alone")
@pytest.mark.slow
@pytest.mark.few_ranks
def test_what_is_replaced_and_what_is_not(tsc, comm, shared_path):
    images = tsc.loadImagesFromArray(recording(4, (20, 21), "uint8"))
    path = shared_path / "r.html"
    _, first = report(images, path)
    with pytest.raises(FileExistsError, match="overwrite"):
        images.report(path)
    comm.Barrier()
    assert path.read_bytes() == first
    _, second = report(images, path, overwrite=True)
    assert second == first
    if comm.rank == 0:
        path.write_bytes(b"<!DOCTYPE html>\n<p>somebody's own\n")
    comm.Barrier()
    with pytest.raises(FileExistsError, match="no HDF5 file, TIFF, report"):
        images.report(path, overwrite=True)
    with pytest.raises(FileNotFoundError, match="create it first"):
        images.report(shared_path / "none" / "r.html")
    comm.Barrier()
    assert [entry.name for entry in shared_path.iterdir()] == ["r.html"]


def test_a_failure_leaves_nothing(tsc, comm, shared_path):
    def fail(value):
        if value[0, 0] == 3:
            raise RuntimeError("no more")
        return value

    array = np.arange(6, dtype=np.uint8)[:, None, None] * np.ones((6, 4, 5), np.uint8)
    images = tsc.loadImagesFromArray(array).apply(fail)
    with pytest.raises(RuntimeError, match="no more"):
        images.report(shared_path / "r.html")
    comm.Barrier()
    assert list(shared_path.iterdir()) == []


def test_matplotlib_is_not_needed(tsc, shared_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    found, _ = report(tsc.loadImagesFromArray(recording(4, (20, 21), "uint8")), shared_path / "a")
    assert found["recording"]["images"] == 4


def test_local_correlation_of_what_has_no_neighbour():
    one = np.ones((1, 1))
    assert np.isnan(local_correlation(one, dict.fromkeys(FOUR, one))).all()


@pytest.mark.slow
@pytest.mark.few_ranks
@pytest.mark.parametrize(
    ("bright", "words"),
    [
        ([20], "The mean of frame 20 differs much from that of the frames around."),
        ([20, 21], "The means of frames 20–21 differ much from those of the frames around."),
    ],
)
def test_frames_of_another_mean_are_told_in_good_words(tsc, shared_path, bright, words):
    array = np.random.default_rng(3).normal(1000, 10, (40, 24, 25)).astype(np.uint16)
    array[bright] += 300
    found, _ = report(tsc.loadImagesFromArray(array), shared_path / "r.html")
    assert words in [finding["text"] for finding in found["findings"]]


def test_a_blank_frame_is_in_no_picture(tsc, shared_path):
    rng = np.random.default_rng(3)
    array = rng.normal(1000, 10, (40, 24, 25)).astype(np.uint16)
    array[:, 10:13, 10:13] += (200 * (np.arange(40) % 15 < 4)).astype(np.uint16)[:, None, None]
    with_one = np.insert(array, [0, 17, 40], 0, axis=0)
    _, page = report(tsc.loadImagesFromArray(with_one), shared_path / "r.html")
    assert b"Blank frames are left out here" in page
    found = gathered(tsc.loadImagesFromArray(with_one))
    alone = gathered(tsc.loadImagesFromArray(array))
    for name in ("mean", "stdev", "correlation", "max", "min"):
        assert same_bits(getattr(found.pixels, name), getattr(alone.pixels, name)), name
    assert found.active.tolist() == alone.active.tolist()
    assert found.count == 43


def test_of_few_images_nothing_is_said_over_time(tsc, shared_path):
    values = np.random.default_rng(5).poisson(20, (3, 12, 14, 30)).astype("u2")
    for count, text in [(1, "If its 30 pages are a movie"), (2, "2 images do not tell"), (3, "")]:
        images = tsc.loadImagesFromArray(values[:count])
        found, _ = report(images, shared_path / f"{count}.html")
        told = [one for one in found["findings"] if one["topic"] == "few_images"]
        assert len(told) == (count < 3)
        assert all(text in one["text"] for one in told)
