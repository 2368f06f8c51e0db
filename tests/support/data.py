"""Small recordings to compare with NumPy, and collections made of them in every way."""

from __future__ import annotations

from pathlib import Path

import numpy as np

INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
FLOATS = ("float16", "float32", "float64")
DTYPES = INTEGERS + FLOATS


def recording(count: int, dims: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    """Arbitrary but fixed values over the dtype's range, (count,) + dims."""
    rng = np.random.RandomState(seed)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return (rng.standard_normal((count, *dims)) * 100).astype(kind)
    bits = rng.bytes(count * int(np.prod(dims)) * kind.itemsize)
    return np.frombuffer(bits, kind).reshape((count, *dims)).copy()


def cut(count: int, size: int, seed: int) -> list[int]:
    """Uneven counts for each of `size` ranks, some of them zero, that sum to `count`."""
    rng = np.random.RandomState(seed)
    cuts = np.sort(rng.randint(0, count + 1, size - 1))
    return np.diff([0, *cuts, count]).tolist()


def spread(tsc, array: np.ndarray, seed: int = 1):
    """Images of which each rank holds another number."""
    counts = cut(len(array), tsc.size, seed)
    start = sum(counts[: tsc.rank])
    own = array[start : start + counts[tsc.rank]]
    return tsc.loadImagesFromArray(own if len(own) else None, local=True)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal shape, dtype and bytes, NaN and signed zeros included."""
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def moved(count: int, dims: tuple[int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images of one scene that has moved by whole pixels, uint16, and by how many.

    Returns
    -------
    (count,) + dims, (count, 2) ndarray
    """
    chance = np.random.default_rng(seed)
    scene = chance.integers(0, 800, (dims[0] + 16, dims[1] + 16)).astype(np.float64)
    for axis in (0, 1, 0, 1):
        scene = (scene + np.roll(scene, 1, axis)) / 2
    shifts = chance.integers(-2, 3, (count, 2))
    images = np.empty((count, *dims), np.uint16)
    for image, (down, across) in zip(images, 8 - shifts, strict=True):
        image[:] = chance.poisson(scene[down : down + dims[0], across : across + dims[1]])
    return images, shifts


def write_tif(path: str | Path, array: np.ndarray, **given: object) -> None:
    """Write an image, or the pages of a volume or movie, as grey."""
    import tifffile

    tifffile.imwrite(path, array, photometric="minisblack", **given)


def write_movie(directory: Path, images: np.ndarray) -> None:
    """Write each image as a file of a new directory: 00.tif and so on."""
    directory.mkdir()
    for number, image in enumerate(images):
        write_tif(directory / f"{number:02d}.tif", image)
