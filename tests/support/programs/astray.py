"""Ranks that do not do the same. The last rank, or rank 0, is the odd one.

astray.py CASE[,CASE...] [DIRECTORY]
"""

from __future__ import annotations

import logging
import sys
import time
from contextlib import suppress

import numpy as np

from mpimages import CollectiveMismatchError, ThunderContext
from mpimages.spmd import watch

logging.basicConfig(format="%(message)s")
tsc = ThunderContext()
images = tsc.loadImagesFromArray(np.arange(120, dtype="uint16").reshape(6, 5, 4))
first, last = tsc.rank == 0, tsc.rank == tsc.size - 1


def zero_alone_mean() -> None:
    if first:
        images.mean()


def zero_alone_first() -> None:
    if first:
        images.first()


def zero_alone_save() -> None:
    if first:
        images.saveAsBinarySeries(sys.argv[2] + "/out")


def zero_alone_then_all() -> None:
    if first:
        images.mean()
    images.max()


def last_exits_0() -> None:
    if last:
        sys.exit(0)
    images.mean()


def last_exits_3() -> None:
    if last:
        sys.exit(3)
    images.mean()


def last_raises() -> None:
    if last:
        raise LookupError("lost my way")
    images.mean()


def last_raises_others_are_busy() -> None:
    if last:
        raise LookupError("lost my way")
    time.sleep(100)


def last_raises_others_wait_elsewhere() -> None:
    if last:
        raise LookupError("lost my way")
    tsc.comm.Barrier()


def last_returns() -> None:
    if not last:
        images.mean()


def one_closes() -> None:
    if last:
        tsc.close()
    images.mean()


def third_is_busy() -> None:
    if tsc.rank == 2:
        time.sleep(12)
    (images.mean if first else images.max)()


def last_leaves_a_loop() -> None:
    for _ in images:
        if last:
            break
    images.max()


def last_begins_a_loop_again() -> None:
    for image in images:
        if last and image[0, 0]:
            break
    list(images)


def told_again() -> None:
    """What is caught leaves the program going, but not the context."""
    with suppress(CollectiveMismatchError):
        (images.mean if first else images.max)()
    try:
        images.mean()
    except RuntimeError as error:
        assert "closed" in str(error)  # noqa: PT017
    with ThunderContext() as again:
        assert again.loadImagesFromArray(np.ones((3, 2, 2), "u1")).sum()[0, 0] == 3
    print("well")


def other_arguments() -> None:
    images[tsc.rank % 2]


def refused_alone() -> None:
    """One rank's argument is refused before the others ask for its agreement."""
    try:
        images["a" if last else 0]
    except (TypeError, ValueError):
        print("refused")


def refused_alone_and_goes_on() -> None:
    try:
        images["a" if last else 0]
    except (TypeError, ValueError):
        print("refused")
    images.max()


def one_ends_one_is_busy() -> None:
    if tsc.rank == 2:
        time.sleep(12)
    if tsc.rank != 1:
        images.mean()


def slow() -> None:
    watch.WARN = 1.0
    if last:
        time.sleep(3)
    assert images.max()[4, 3] == 119
    print("well")


def silent() -> None:
    if last:
        time.sleep(4)
    with ThunderContext(timeout=1) as short:
        short.loadImagesFromArray(np.ones((3, 2, 2), "u1"))
        if last:
            time.sleep(4)
        short.loadImagesFromArray(np.ones((3, 2, 2), "u1"))


def late() -> None:
    """Rank 0 has given up when the others come; all can then go on in a new context."""
    gave_up = tsc.comm.Dup()
    short = ThunderContext(timeout=1)
    data = short.loadImagesFromArray(np.ones((3, 2, 2), "u1"))
    if first:
        with suppress(CollectiveMismatchError):
            data.sum()
    gave_up.Barrier()
    if not first:
        try:
            data.sum()
        except CollectiveMismatchError as error:
            assert "nothing was heard from rank" in str(error)  # noqa: PT017
            print("told")
    with ThunderContext() as again:
        assert again.loadImagesFromArray(np.ones((3, 2, 2), "u1")).sum()[0, 0] == 3
    print("well")


def fails_alone_and_goes_on() -> None:
    """As in a notebook: the engine of a failed cell lives on, and all make a new context."""
    short = ThunderContext(timeout=1)
    data = short.loadImagesFromArray(np.ones((3, 2, 2), "u1"))
    if not last:
        with suppress(CollectiveMismatchError):
            data.sum()
    else:
        time.sleep(4)  # a rank that is busy elsewhere, and does not look at messages meanwhile
    again = ThunderContext(timeout=10)
    assert again.loadImagesFromArray(np.ones((3, 2, 2), "u1")).sum()[0, 0] == 3
    print("well")


def bad(image: np.ndarray) -> np.ndarray:
    if image[0, 0] == 0:
        raise LookupError("lost my way")
    return image


def function_raises() -> None:
    images.apply(bad).mean()


def caught() -> None:
    for _ in range(3):
        try:
            images.apply(bad).mean()
        except LookupError as error:
            assert "rank 0 of" in str(error) or tsc.size == 1  # noqa: PT017
        assert images.max()[4, 3] == 119
    print("well")


def caught_by_others() -> None:
    try:
        images.apply(bad).mean()
    except LookupError:
        if last:
            raise
    time.sleep(100)


def function_exits_3() -> None:
    images.apply(lambda image: sys.exit(3) if image[0, 0] == 0 else image).mean()


def function_is_interrupted() -> None:
    def press(image: np.ndarray) -> np.ndarray:
        if image[0, 0] == 0:
            raise KeyboardInterrupt
        return image

    try:
        images.apply(press).mean()
    except KeyboardInterrupt as error:
        assert "rank 0 of" in str(error) or tsc.size == 1  # noqa: PT017
    assert images.max()[4, 3] == 119
    print("well")


def hook_is_put_back() -> None:
    """By the last context that is closed, whether its ranks are in step or not."""
    assert (sys.excepthook is sys.__excepthook__) == (tsc.size == 1)
    ThunderContext().close()
    assert (sys.excepthook is sys.__excepthook__) == (tsc.size == 1)
    tsc.close()
    assert sys.excepthook is sys.__excepthook__
    again = ThunderContext()
    if again.size > 1:
        with suppress(CollectiveMismatchError):
            again.loadImages("nowhere") if first else again.loadSeries("nowhere")
    again.close()
    assert sys.excepthook is sys.__excepthook__
    print("well")


def nothing() -> None:
    print("well")


if __name__ == "__main__":
    for case in sys.argv[1].split(","):
        globals()[case]()
