"""A script of Thunder 0.6 runs, once its import is ours and a context is made.

It does what scripts of Thunder do: load, filter, average regions, correlate, decompose and save.
"""

import matplotlib
import numpy as np
import pytest
from scipy import ndimage

matplotlib.use("Agg")
import matplotlib.pyplot as plt

# Written for Thunder 0.6. The first line was `from thunder import ...`, and the shell brought tsc.
SCRIPT = """
from mpimages import ThunderContext, Colorize, PCA, Registration
tsc = ThunderContext.start()

images = tsc.loadImages("recording", inputFormat="tif", startIdx=0, stopIdx=20)
rows, columns, pages = images.dims.count
key, image = images.first()
third = images[2]

smooth = images.gaussianFilter(sigma=2).medianFilter(size=3)
highest = images.maxProjection(axis=2).max()
small = images.subsample((2, 2, 1)).crop((0, 0, 0), (20, 30, 2))
plane = images.planes(0, 0)
bright = plane.subtract(plane.mean())
local = plane.localCorr(neighborhood=2)

mask = np.zeros((rows, columns, pages), dtype="int")
mask[30:35, 20:26, 0] = 1
mask[50:60, 40:45, 1] = 2
traces = images.meanByRegions(mask)
back = images.toBlocks((20, 30, 1), units="pixels").toImages()

series = images.toSeries()
series.cache()
spread = series.seriesStdev().pack()
signal = traces[:, 0]
correlation = series.correlate(signal).pack()
late = series.between(10, 19).seriesMean().pack()
center, mean = series.meanOfRegion([(30, 20, 0), (31, 20, 0)])

times = images.toTimeSeries()
change = times.normalize("percentile", perc=20)
flat = change.detrend("linear").zscore()
lagged = times.crossCorr(signal, lag=2)
coherence = times.fourier(freq=3).pack()
windows = times.meanByWindow([5, 10], window=4)
samples = change.subset(nsamples=50, thresh=0.05, seed=1)

pca = PCA(k=3).fit(change)
scores = pca.scores.pack()
colours = Colorize(cmap="polar", scale=0.1).transform(scores[:2, :, :, 0])
Colorize.image(colours)

model = Registration("crosscorr").prepare(plane).fit(plane)
shifts = model.toArray()
series.saveAsBinarySeries("series")
again = tsc.loadSeries("series")
"""


@pytest.fixture
def place(tsc, comm, shared_path, monkeypatch):
    monkeypatch.chdir(shared_path)
    tsc.loadExample("fish-images").saveAsTifs("recording")
    yield shared_path
    comm.Barrier()
    plt.close("all")


@pytest.mark.ranks
@pytest.mark.few_ranks
def test_script(tsc, place):
    ran = {"np": np}
    exec(compile(SCRIPT, "script.py", "exec"), ran)
    array = tsc.loadExample("fish-images").toArray()
    pixels = np.moveaxis(array, 0, -1).astype(np.float64)

    np.testing.assert_array_equal(ran["third"], array[2])
    blurred = ndimage.gaussian_filter(array[0].astype(np.float64), [2, 2, 0])
    expected = ndimage.median_filter(blurred, (3, 3, 1))
    np.testing.assert_allclose(ran["smooth"].first()[1], expected, rtol=1e-5)
    np.testing.assert_array_equal(ran["highest"], array.max(axis=(0, 3)))
    np.testing.assert_array_equal(ran["small"].toArray(), array[:, :40:2, :60:2])
    difference = array[..., 0] - array[..., 0].mean(axis=0)
    np.testing.assert_allclose(ran["bright"].toArray(), difference, atol=1e-4)
    np.testing.assert_array_equal(ran["back"].toArray(), array)
    lit = array[..., 0].std(axis=0) > 0.5
    np.testing.assert_allclose(ran["local"][lit], neighbours(array[..., 0])[lit], atol=1e-9)

    traces = np.stack([array[:, ran["mask"] == k].mean(axis=1) for k in (1, 2)], axis=1)
    np.testing.assert_allclose(ran["traces"], traces)
    np.testing.assert_allclose(ran["spread"], pixels.std(axis=-1))
    constant = pixels.std(axis=-1) == 0
    correlation = correlate(pixels[~constant], traces[:, 0])
    np.testing.assert_allclose(ran["correlation"][~constant], correlation, atol=1e-9)
    np.testing.assert_allclose(ran["late"], pixels[..., 10:].mean(axis=-1))
    np.testing.assert_allclose(ran["mean"], pixels[30:32, 20, 0].mean(axis=0))
    assert tuple(ran["center"]) in ((30, 20, 0), (30.5, 20, 0), (31, 20, 0))

    base = np.percentile(pixels, 20, axis=-1, keepdims=True)
    change = (pixels - base) / (base + 0.1)
    np.testing.assert_allclose(ran["change"].toArray(), change, rtol=1e-5, atol=1e-6)
    scaled = ran["flat"].toArray()[~constant]
    np.testing.assert_allclose(scaled.mean(axis=-1), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=-1), 1, atol=1e-5)
    np.testing.assert_allclose(ran["lagged"].toArray()[~constant][:, 2], correlation, atol=1e-9)
    found = ran["coherence"][:, ~constant]
    assert found[0].min() >= 0
    assert found[0].max() <= 1
    windows = (pixels[..., 3:7] + pixels[..., 8:12]) / 2
    np.testing.assert_allclose(ran["windows"].toArray(), windows, rtol=1e-6)
    assert ran["samples"].shape == (50, 20)

    matrix = change.reshape(-1, 20)
    _, values, _ = np.linalg.svd(matrix - matrix.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(ran["pca"].latent, values[:3], rtol=1e-4)
    assert ran["scores"].shape == (3, 76, 87, 2)
    assert ran["colours"].shape == (76, 87, 3)
    assert ran["shifts"].shape == (20, 2)
    np.testing.assert_array_equal(ran["again"].toArray(), np.moveaxis(array, 0, -1))


def correlate(series, signal):
    """Pearson's r of each row with a signal."""
    centered, with_it = series - series.mean(axis=-1, keepdims=True), signal - signal.mean()
    norms = np.linalg.norm(centered, axis=-1) * np.linalg.norm(with_it)
    return centered @ with_it / norms


def neighbours(movie):
    """The correlation of each pixel with the mean of the 5 by 5 pixels around it."""
    blurred = np.stack([ndimage.uniform_filter(image.astype(np.float64), 5) for image in movie])
    centered, around = movie - movie.mean(axis=0), blurred - blurred.mean(axis=0)
    norms = np.sqrt((centered**2).sum(axis=0) * (around**2).sum(axis=0))
    with np.errstate(invalid="ignore"):
        return (centered * around).sum(axis=0) / norms
