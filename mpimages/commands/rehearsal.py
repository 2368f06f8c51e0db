"""A command's usage checked without the command being run: now, and not after hours in a queue."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import click

from .running import Run

__all__ = ["Word", "absolute", "rehearse", "valued", "words"]

# The arguments and options of the commands that are paths.
PATHS = {"path", "paths", "out", "outs"}


class _Rehearsed(Exception):
    """The command has accepted its arguments, and would now begin."""


class _Rehearsal(Run):
    """A run that ends where the command would begin to work: with MPI, or with an answer."""

    def world(self) -> NoReturn:
        raise _Rehearsed

    def context(self, memory: str | None = None) -> NoReturn:
        raise _Rehearsed

    def say(self, text: object, colour: bool | None = None) -> NoReturn:
        raise _Rehearsed

    def answer(self, fields: Any, indent: int | None = 2) -> NoReturn:
        raise _Rehearsed


def rehearse(
    command: click.Command, arguments: Sequence[str], parent: click.Context | None
) -> dict[str, Any]:
    """Let a command check its arguments, and do nothing. Local; starts no MPI.

    Returns
    -------
    dict
        The values of its parameters, by name.

    Raises
    ------
    click.UsageError
        As the command itself.
    """
    context = command.make_context(command.name, list(arguments), parent, obj=_Rehearsal())
    with context:
        given = dict(context.params)
        with suppress(_Rehearsed):
            command.invoke(context)
    return given


# -- the words of a command line -----------------------------------------------------------


@dataclass(frozen=True)
class Word:
    """An argument as the shell gave it, an option together with its value.

    Attributes
    ----------
    texts : tuple of str
    option : str or None
        Which option; None of an argument.
    """

    texts: tuple[str, ...]
    option: str | None = None


def valued(command: click.Command) -> dict[str, bool]:
    """The options of a command, and whether a value follows."""
    return {
        name: not (parameter.is_flag or parameter.count)
        for parameter in command.params if isinstance(parameter, click.Option)
        for name in (*parameter.opts, *parameter.secondary_opts)
    }


def words(arguments: Sequence[str], options: Mapping[str, bool]) -> Iterator[Word]:
    """Options with their values, and arguments, in their order.

    Parameters
    ----------
    arguments : sequence of str
    options : mapping
        As `valued`. Others are taken to have no value, or one after ``=``.
    """
    rest = iter(arguments)
    for text in rest:
        if text == "--":
            yield from (Word((argument,)) for argument in rest)
        elif text == "-" or not text.startswith("-"):
            yield Word((text,))
        else:
            name = text.partition("=")[0] if text.startswith("--") else text[:2]
            follows = options.get(name, False) and text == name
            value = next(rest, None) if follows else None
            yield Word((text,) if value is None else (text, value), name)


def absolute(word: Word, command: click.Command) -> Word:
    """The word, as the command may be given it in any directory."""
    if word.option is None:
        named = any(isinstance(parameter, click.Argument) and parameter.name in PATHS
                    for parameter in command.params)
        return replace(word, texts=(_absolute(word.texts[0]),)) if named else word
    for parameter in command.params:
        if isinstance(parameter, click.Option) and word.option in parameter.opts \
                and parameter.name in PATHS:
            return replace(word, texts=(word.option, _absolute(_value(word))))
    return word


def _value(word: Word) -> str:
    if len(word.texts) > 1:
        return word.texts[1]
    text = word.texts[0]
    return text.partition("=")[2] if text.startswith("--") else text[2:]


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))
