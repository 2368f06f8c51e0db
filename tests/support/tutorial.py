"""The Images tutorial as data: what its cells say, what they print and what they draw."""

from typing import NamedTuple


class Cell(NamedTuple):
    """One cell: its code, the text it prints, and whether its figure holds an image or lines."""

    number: int
    code: str
    output: str | None = None
    draws: str | None = None


CELLS = [
    Cell(1, "%matplotlib inline"),
    Cell(
        2,
        """\
import matplotlib.pyplot as plt
import seaborn as sns
sns.set_style('darkgrid')
sns.set_context('notebook')
from thunder import Colorize
image = Colorize.image
""",
    ),
    Cell(3, "data = tsc.loadExample('fish-images')"),
    Cell(
        4,
        "data",
        """\
Images
nrecords: 20
dtype: None (inspect to compute)
dims: None (inspect to compute)""",
    ),
    Cell(5, "data.dims.max", "(75, 86, 1)"),
    Cell(6, "data.dims.min", "(0, 0, 0)"),
    Cell(7, "data.dims.count", "(76, 87, 2)"),
    Cell(
        8,
        "data",
        """\
Images
nrecords: 20
dtype: uint8
dims: min=(0, 0, 0), max=(75, 86, 1), count=(76, 87, 2)""",
    ),
    Cell(9, "data.keys().first()", "0"),
    Cell(10, "img = data.values().first()\nimg.shape", "(76, 87, 2)"),
    Cell(11, "image(img[:,:,0])", draws="image"),
    Cell(12, "image(img[:,:,1])", draws="image"),
    Cell(13, "data = tsc.loadExample('mouse-images')\ndata.dims.count", "(64, 64)"),
    Cell(14, "img = data.values().first()\nimage(img)", draws="image"),
    Cell(15, "image(data[10])", draws="image"),
    Cell(
        16,
        """\
data = tsc.loadExample('fish-images')
projs = data.maxProjection(axis=2)
img = projs.first()[1]
image(img)
""",
        draws="image",
    ),
    Cell(17, "sub = data.planes(0,0).values().first()\nimage(img)", draws="image"),
    Cell(
        18,
        """\
img = data.subsample([5,5,1]).values().first()
image(img[:,:,0])
""",
        draws="image",
    ),
    Cell(19, "img = data.stdev()\nimage(img[:,:,0])", draws="image"),
    Cell(20, "data = tsc.loadExample('fish-images')\nts = data.toSeries()\nts.cache();"),
    Cell(
        21,
        "ts.index",
        """\
array([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16,
       17, 18, 19])""",
    ),
    Cell(22, "ts.dims.max", "(75, 86, 1)"),
    Cell(23, "ts.dims.min", "(0, 0, 0)"),
    Cell(24, "ts.dims.count", "(76, 87, 2)"),
    Cell(
        25,
        """\
samples = ts.toTimeSeries().normalize().subset(nsamples=50, thresh=0.05)
plt.plot(samples.T);
""",
        draws="lines",
    ),
]

# Two fragments stand outside the cells; the first rests on the data of cell 3 (loaded again in 16).
EXPORT = "data.maxProjection().saveAsPngs('directory', vmin=0, vmax=200, cmap='gray')"
CONVERSION = """\
data = tsc.loadImages('my-image-directory', inputFormat='tif', startIdx=0, stopIdx=20)
data.saveAsBinarySeries('my-binary-directory', overwrite=True)
ts = tsc.loadSeries('my-binary-directory')
"""
