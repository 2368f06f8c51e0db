"""Several contexts, threads, and exceptions whose own code fails: what each rank meets.

contexts.py CASE[,CASE...]: prints a line of JSON, what each rank has met in each, after all have
gone on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from mpi4py import MPI

from mpimages import ThunderContext

COMM = MPI.COMM_WORLD
FIRST, LAST = COMM.rank == 0, COMM.rank == COMM.size - 1


def full(value: float, tsc: Any) -> Any:
    return tsc.loadImagesFromArray(np.full((6, 8, 5), value))


def met(act: Callable[[], Any]) -> str:
    """The type of what it raises, or the greatest value that it gives."""
    try:
        return str(float(np.max(act())))
    except BaseException as error:
        return type(error).__name__


def of_two(act: Callable[[Any], Any]) -> str:
    """Ranks that take collections of two contexts."""
    one, other = ThunderContext(), ThunderContext(memory="1GB", timeout=20)
    images = full(1, one), full(2, other)
    return met(lambda: act(images[0 if FIRST else 1]))


def closes_in_another_order() -> str:
    contexts = [ThunderContext(), ThunderContext()]
    for tsc in contexts if FIRST else contexts[::-1]:
        said = met(lambda: tsc.close() or 0)  # noqa: B023
        if said != "0.0":
            return said
    return said


def of_duplicates() -> str:
    """Of communicators of their own contexts have nothing to do with each other."""
    with (
        ThunderContext() as one,
        ThunderContext(COMM.Dup()) as other,
        ThunderContext(COMM.Split(COMM.rank % 2)) as part,
    ):
        images = full(1, one), full(2, other), full(3, part)
        return met(lambda: np.array([each.toSeries().toArray().max() for each in images]))


def within_a_function() -> str:
    one, other = ThunderContext(), ThunderContext(COMM.Dup())
    images, others = full(1, one), full(2, other)
    return met(lambda: images.apply(lambda image: image + others.mean()).mean())


ROOM = 30


def leave(room: int) -> None:
    """Use up the communicators that there can be, 2,048 with MPICH, but some."""
    kept: list[MPI.Intracomm] = []
    with contextlib.suppress(MPI.Exception):
        while True:
            kept.append(COMM.Dup())
    for comm in kept[-room:]:
        comm.Free()


def never_closed() -> str:
    leave(ROOM)
    kept = []
    for _ in range(2 * ROOM):
        kept.append(ThunderContext())
    return met(lambda: full(7, kept[-1]).toSeries().toArray())


def never_closed_duplicates() -> str:
    leave(ROOM)
    kept = []

    def make() -> float:
        for _ in range(2 * ROOM):
            kept.append(ThunderContext(COMM.Dup()))
        return 0

    said = met(make)
    kept[-1].close()  # then there is room for another
    kept[-2].close()
    with ThunderContext() as tsc:
        return said + met(lambda: full(7, tsc).mean())


def in_threads(tscs: list[Any]) -> list[str]:
    said = [""] * len(tscs)

    def run(number: int) -> None:
        said[number] = met(lambda: full(number + 1, tscs[number]()).toSeries().toArray())

    threads = [threading.Thread(target=run, args=[number]) for number in range(len(tscs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said


def threads_of_one() -> str:
    with ThunderContext() as tsc:
        said = in_threads([lambda: tsc] * 4)
        return "/".join([*said, met(lambda: full(9, tsc).mean())])


def threads_of_their_own() -> str:
    comms = [COMM.Dup() for _ in range(3)]
    return "/".join(in_threads([lambda comm=comm: ThunderContext(comm) for comm in comms]))


# -- exceptions ----------------------------------------------------------------------------


def stop(*_: Any) -> Any:
    sys.exit(3)


class NoNumber(OSError):
    errno = property(stop)


class NoText(Exception):
    __str__ = __repr__ = stop


class NoSetting(Exception):
    def __setattr__(self, name: str, value: Any) -> None:
        raise RuntimeError(name)


class NoAttributes(Exception):
    def __getattribute__(self, name: str) -> Any:
        raise KeyboardInterrupt


class NoNote(Exception):
    add_note = stop


class NoPickle(type):
    def __reduce__(cls) -> Any:
        raise GeneratorExit


class NoKind(Exception, metaclass=NoPickle):
    __class__ = property(stop)


class NoCode(SystemExit):
    code = property(stop)


class OnceOnly(Exception):
    made = 0

    def __init__(self, text: str) -> None:
        OnceOnly.made += 1
        if OnceOnly.made > 1:
            stop()


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    text: str


class Unset(np.ndarray):
    def __array_finalize__(self, other: Any) -> None:
        if other is not None:
            raise Frozen("no view")


RAISED: dict[str, Callable[[], Any]] = {
    "errno": lambda: NoNumber(5, "x"),
    "str": NoText,
    "setattr": NoSetting,
    "getattribute": NoAttributes,
    "add_note": NoNote,
    "reduce": NoKind,
    "code": NoCode,
    "init": lambda: OnceOnly("x"),
    "frozen": lambda: Frozen("x"),
    "args": lambda: OSError({}, stop),
    "exit": lambda: SystemExit(stop),
    "generator": GeneratorExit,
    "stop": StopIteration,
    "interrupt": KeyboardInterrupt,
    "group": lambda: ExceptionGroup("x", [NoText()]),
}


def exceptions() -> dict[str, str]:
    """Each is raised in a function of the last rank's, in three kinds of action."""
    tsc = ThunderContext()
    images = full(1, tsc)
    said = {}
    for name, make in RAISED.items():

        def fail(image: Any, make: Any = make) -> Any:
            if LAST:
                raise make()
            return image

        for number, act in enumerate(
            [
                lambda fail=fail: images.apply(fail).mean(),
                lambda fail=fail: images.filter(lambda key, value: fail(1)).count(),
                lambda fail=fail: images.apply(fail).saveAsBinarySeries(sys.argv[2]),
            ]
        ):
            said[f"{name} {number}"] = f"{met(act)} {met(images.mean)}"
    for number, hostile in enumerate([NoText(), [NoText()], Unset((3,))]):
        said[f"argument {number}"] = f"{met(lambda: images[hostile])} {met(images.mean)}"  # noqa: B023
    return said


CASES: dict[str, Callable[[], Any]] = {
    "mean": lambda: of_two(lambda images: images.mean()),
    "toArray": lambda: of_two(lambda images: images.toArray()),
    "series": lambda: of_two(lambda images: images.toSeries().toArray()),
    "save": lambda: of_two(lambda images: images.saveAsBinarySeries(sys.argv[2])),
    **{
        each.__name__: each
        for each in (
            closes_in_another_order,
            of_duplicates,
            within_a_function,
            never_closed,
            never_closed_duplicates,
            threads_of_one,
            threads_of_their_own,
            exceptions,
        )
    },
}
CASES["load"] = lambda: load_of_two()


def load_of_two() -> str:
    one, other = ThunderContext(), ThunderContext()
    return met(lambda: full(3, one if FIRST else other).mean())


def main() -> None:
    found = [COMM.allgather(CASES[case]()) for case in sys.argv[1].split(",")]  # they have gone on
    if COMM.rank == 0:
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
