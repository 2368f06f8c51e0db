"""Options of what NWB demands, and a recording does not tell."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

import click

from ..core.json_types import JsonObject
from .options import files, named

__all__ = ["FACT", "facts_of", "nwb_arguments", "nwb_file_option", "nwb_option"]

# How a fact is given.
FACT = "--nwb NAME=VALUE"
# Arguments of `saveAsNWB` that have options of their own, or are no facts.
OTHERS = {"self", "path", "chunks", "compression", "overwrite", "resume", "memory"}


def _pairs(
    _: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    found = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE, as identifier=mouse-3-day-1")
        found.append((name, value))
    return tuple(found)


def _file(_: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    return None if text is None else named(text, parameter.opts[-1])


nwb_option = click.option(
    "--nwb",
    multiple=True,
    callback=_pairs,
    metavar="NAME=VALUE",
    help="NWB: an argument of saveAsNWB, such as identifier=... or subject.species=...; may be "
    "given several times.",
)
nwb_file_option = click.option(
    "--nwb-file",
    callback=_file,
    metavar="FILE",
    shell_complete=files,
    help="NWB: the same as an object of JSON.",
)


def facts_of(method: Callable[..., Any]) -> dict[str, str]:
    """What types the facts have that `saveAsNWB` takes. Local."""
    return {
        name: str(one.annotation)
        for name, one in inspect.signature(method).parameters.items()
        if name not in OTHERS
    }


def nwb_arguments(method: Callable[..., Any], given: JsonObject) -> JsonObject:
    """The arguments of `saveAsNWB`: those of --nwb-file, and over them those of --nwb. Local.

    Raises
    ------
    ValueError
        For a name that is none, or a text where a number is needed.
    """
    left = dict(given)
    path, pairs = left.pop("nwb_file", None), left.pop("nwb", ())
    wanted = facts_of(method)
    facts = {} if path is None else _read(path)
    for name, text in pairs:
        outer, dot, inner = name.partition(".")
        number = "float" in wanted.get(outer, "") and "Sequence" not in wanted.get(outer, "")
        value: object = _number(name, text) if number else text
        if dot:
            facts.setdefault(outer, {})
            if not isinstance(facts[outer], dict):
                raise ValueError(f"--nwb {name}: {outer} has no parts, it is {facts[outer]!r}")
            facts[outer] = {**facts[outer], inner: value}
        else:
            facts[name] = value
    unknown = [name for name in facts if name not in wanted]
    if unknown:
        raise ValueError(
            f"NWB is told nothing by the name {unknown[0]!r}; there are {', '.join(wanted)}"
        )
    return {**facts, **left}


def _read(path: str) -> JsonObject:
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f'{path}: is no object of JSON, such as {{"identifier": "..."}}')
    return found


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--nwb {name}={text}: this must be a number") from None
