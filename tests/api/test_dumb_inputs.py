"""Every public call with every kind of illegal argument: told, and nothing happens."""

from __future__ import annotations

import inspect
import os
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from ..support.data import recording
from ..support.dumbcalls import CALLS, DOCUMENTED, MOVING, OUT, PLAIN, RECORDING, SERIES, Call
from ..support.tallies import count

pytestmark = [pytest.mark.ranks, pytest.mark.few_ranks]


@pytest.fixture(scope="module")
def inputs(tsc, comm, tmp_path_factory):
    """What the calls are made on, and a directory in which nothing may appear."""
    import mpimages

    root = comm.bcast(tmp_path_factory.mktemp("dumb") if comm.rank == 0 else None)
    volumes = tsc.loadImagesFromArray(recording(6, (4, 5, 3), "int16"))
    flat = volumes.maxProjection()
    if comm.rank == 0:
        (root / "out").mkdir()
    comm.Barrier()
    volumes.saveAsTifs(root / "recording")
    volumes.saveAsBinarySeries(root / "series")
    series = volumes.toSeries()
    series.index = range(6)

    def set_index(values):
        series.index = values

    return SimpleNamespace(
        root=root,
        tsc=tsc,
        volumes=volumes,
        flat=flat,
        moving=tsc.loadImagesFromArray(MOVING),
        lines=tsc.loadImagesFromArray(np.repeat(recording(20, (4, 64), "int16"), 3, axis=1)),
        keys=volumes.keys(),
        series=series,
        blocks=volumes.toBlocks((2, 2, 2)),
        times=volumes.toTimeSeries(),
        colorize=mpimages.Colorize,
        rainbow=mpimages.Colorize(),
        module=mpimages,
        context=mpimages.ThunderContext,
        own=SimpleNamespace(set_index=set_index, reshape=lambda dims: series.reshape(dims)),
    )


def prepared(inputs, given):
    places = {
        OUT: inputs.root / "out" / "new",
        RECORDING: inputs.root / "recording",
        SERIES: inputs.root / "series",
    }
    return {
        name: places.get(value, value) if isinstance(value, str) else value
        for name, value in given.items()
    }


def parameters(method):
    return inspect.signature(method).parameters.values()


def perform(inputs, call, arguments):
    """Make the call, and run what is lazy."""
    arguments = arguments | arguments.pop("opts", {})
    method = getattr(inputs.own, call.method, None) or getattr(
        getattr(inputs, call.on), call.method
    )
    if call.method.startswith("__"):
        result = method(*arguments.values())
    elif starred := [p.name for p in parameters(method) if p.kind is p.VAR_POSITIONAL]:
        result = method(arguments[starred[0]])
    elif "imshow" in arguments:
        result = method(arguments["path"], nonsense=arguments["imshow"])
    else:
        result = method(**arguments)
    if hasattr(result, "values") and hasattr(result, "cache"):
        result = result.values().first()
    return result


def told(inputs, call, name, value):
    """What is wrong on this rank with how a wrong value is taken; None where all is well."""
    arguments = {**prepared(inputs, call.given), name: value}
    try:
        perform(inputs, call, arguments)
    except DOCUMENTED as error:
        said = " ".join([str(error), *getattr(error, "__notes__", [])])
        word, _ = call.wrong[name]
        if re.search(word, said, re.IGNORECASE) is None:
            return f"{type(error).__name__} does not name it: {said[:200]}"
        if len(said) > 6000:
            return f"{type(error).__name__} of {len(said)} letters"
    except BaseException as error:
        return f"{type(error).__name__} is not documented: {error}"
    else:
        return "is taken"
    return None


def left_behind(inputs):
    """What was written though it must not have been; removed, so that each case is by itself.

    Rank 0 looks once all have come back: what writes without it would be wrong by itself.
    """
    strange = {"out", "recording", "series"}.symmetric_difference(os.listdir(inputs.root))
    found = [*os.listdir(inputs.root / "out"), *strange]
    if found:
        shutil.rmtree(inputs.root / "out", ignore_errors=True)
        (inputs.root / "out").mkdir()
    return found


def label(call: Call) -> str:
    return f"{call.on}.{call.method}"


CASES = [
    pytest.param(call, name, id=f"{label(call)}-{i}-{name}")
    for i, call in enumerate(CALLS)
    for name in call.wrong
]


@pytest.fixture(autouse=True)
def pictures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.mark.parametrize(("call", "name"), CASES)
def test_what_is_wrong_is_told(inputs, comm, call, name):
    _, values = call.wrong[name]
    told_wrong = []
    for number, value in enumerate(values):
        found = told(inputs, call, name, value)
        kinds = comm.allgather(found is None)
        if comm.rank == 0 and (left := left_behind(inputs)):
            found = f"{found}, left {left}"
        if found or not all(kinds):
            told_wrong.append(
                f"value {number}, a {type(value).__name__} {shown_safely(value)}: {found} {kinds}"
            )
    count("wrong arguments", len(values), comm)
    told_wrong = comm.bcast(told_wrong, 0)
    assert not told_wrong, "\n".join(told_wrong)
    # The ranks are in step and the context works; nothing has been written.
    assert inputs.volumes.max().shape == (4, 5, 3)


def shown_safely(value):
    try:
        return repr(value)[:60]
    except Exception:
        return "(hostile)"


@pytest.mark.parametrize("call", CALLS, ids=[label(call) for call in CALLS])
def test_the_calls_themselves_work(inputs, call, shared_path):
    given = prepared(inputs, call.given)
    for name, value in call.given.items():
        if isinstance(value, str) and value == OUT:
            given[name] = shared_path / "new"
    if call.method != "start":
        perform(inputs, call, given)


@pytest.mark.parametrize("owner", PLAIN)
def test_no_public_call_and_no_parameter_is_forgotten(owner):
    import mpimages
    from mpimages.collection import View

    kind = View if owner == "View" else getattr(mpimages, owner)
    places = {
        "ThunderContext": {"tsc", "context"},
        "Images": {"volumes", "flat", "moving", "lines"},
        "View": {"keys"},
        "Series": {"series", "times"},
        "Colorize": {"colorize", "rainbow"},
        "Blocks": {"blocks"},
    }[owner]
    names = {name for name in dir(kind) if not name.startswith("_")}
    if owner == "Series":
        names |= {name for name in dir(mpimages.TimeSeries) if not name.startswith("_")}
        kind = mpimages.TimeSeries
        names.remove("index")  # set_index stands for it
    covered: dict[str, set[str]] = {}
    for call in CALLS:
        if call.on in places and not call.method.startswith("__"):
            covered.setdefault(call.method, set()).update(call.wrong)
    covered.pop("set_index", None)
    assert names - PLAIN[owner] - {"metadata"} == set(covered) - {"metadata"}
    for name, parameters in covered.items():
        given = set(inspect.signature(getattr(kind, name)).parameters) - {"self"}
        assert given == parameters, name


def test_every_public_function_is_here():
    import mpimages

    functions = {name for name in dir(mpimages) if inspect.isfunction(getattr(mpimages, name))}
    assert functions == {call.method for call in CALLS if call.on == "module"}


def test_values_are_not_changed_by_being_refused(inputs):
    assert np.array_equal(inputs.volumes.toArray(), recording(6, (4, 5, 3), "int16"))
