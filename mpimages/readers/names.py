"""What the names of files say: which time, plane and channel each file holds."""

from __future__ import annotations

import itertools
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..core.text import quote
from ..errors import not_found
from ..formats.output_names import refuse_unfinished
from .listing import is_input, name_some, natural_key
from .page_order import T

LETTERS = "tzc"  # in the order of the columns of a table of pages
_DIGITS = re.compile("([0-9]+)")
_PIECE = re.compile(r"(\{[^{}]*\}|\*+|\?)")
# Names that are looked at before a pattern is tried on all.
_LOOKED_AT = 100


class Named(NamedTuple):
    """Files whose names match a pattern.

    Attributes
    ----------
    paths : list of str
        By time, then plane, then channel.
    table : (files, 3) int64 ndarray
        The numbers of time, plane and channel of each; -1 where the pattern has no such number.
        A channel is the index of its name in `channels`; a time with several numbers in the
        pattern is its rank.
    channels : list of str
        What stands for {c}, in natural order.
    """

    paths: list[str]
    table: np.ndarray
    channels: list[str]


@dataclass(frozen=True)
class NamePattern:
    """A pattern of names: see `parse`.

    Attributes
    ----------
    text : str
        As the user wrote it.
    levels : tuple of re.Pattern
        One for each directory, and one for the file's name.
    letters : str
        Of t, z and c, what each group of the levels stands for.
    """

    text: str
    levels: tuple[re.Pattern[str], ...]
    letters: str

    @classmethod
    def parse(cls, pattern: str) -> NamePattern:
        """Compile a pattern such as ``'t{t}/z{z}.tif'`` or ``'*_z{z}_c{c}.tif'``.

        ``{t}`` and ``{z}`` stand for a whole run of digits with any number of leading zeros. A
        ``-`` before it is a sign, unless the pattern has it. ``{c}`` stands for a number or a name:
        for as few characters as possible. ``*`` stands for anything and ``?`` for one character,
        both without ``/``. All else stands for itself. Where ``{t}`` stands several times, the
        first one counts first.

        Raises
        ------
        ValueError
            If a placeholder is unknown, {z} or {c} stands twice, none is there, two of them touch,
            or the pattern leads out of its directory.
        """
        parts = pattern.split("/")
        if os.path.isabs(pattern) or not all(parts) or {".", ".."} & set(parts):
            raise ValueError(
                f"pattern={quote(pattern)} must name files below dataPath, as 't{{t}}/z{{z}}.tif'"
            )
        letters = ""
        levels = []
        for part in parts:
            expression, found = _compile(part, pattern)
            letters += found
            levels.append(re.compile(expression, re.DOTALL))
        if not letters:
            raise ValueError(
                f"pattern={quote(pattern)} has none of {{t}}, {{z}} and {{c}}, which stand for "
                "the numbers of time, plane and channel"
            )
        for letter in "zc":
            if letters.count(letter) > 1:
                raise ValueError(
                    f"pattern={quote(pattern)} has {{{letter}}} twice: put * for one of them"
                )
        return cls(pattern, tuple(levels), letters)

    def match(self, path: str) -> tuple[str, ...] | None:
        """What stands for the placeholders in a path below the directory; None: no match."""
        parts = path.split("/")
        if len(parts) != len(self.levels):
            return None
        values: tuple[str, ...] = ()
        for level, part in zip(self.levels, parts, strict=True):
            found = level.fullmatch(part)
            if found is None:
                return None
            values += found.groups()
        return values


def _compile(part: str, pattern: str) -> tuple[str, str]:
    """The regular expression of one level, and the letters of its groups."""
    letters = ""
    before = ""  # the piece that was there last
    pieces = [piece for piece in _PIECE.split(part) if piece]
    expression = "" if part.startswith(".") else r"(?!\.)"
    for piece in pieces:
        if piece[0] == "{" and piece[1:-1] in LETTERS and len(piece) == 3:
            if before.endswith("}"):
                raise ValueError(f"pattern={quote(pattern)} has nothing between two numbers")
            letters += piece[1]
            expression += "(.+?)" if piece == "{c}" else _number(before)
        elif "{" in piece or "}" in piece:
            raise ValueError(
                f"pattern={quote(pattern)}: it takes {{t}}, {{z}} and {{c}}, * and ?, and all else "
                f"stands for itself; got {quote(piece)}"
            )
        else:
            expression += {"*": ".*?", "?": "."}.get(piece[0]) or re.escape(piece)
        before = piece
    return expression, letters


def _number(before: str) -> str:
    """A run of digits after a piece of the pattern, which is not cut in two by a wildcard."""
    if before and before[-1].isdigit():
        return "([0-9]+)(?![0-9])"
    sign = "" if before[-1:] in ("*", "?") else "-?"
    return f"(?<![0-9])({sign}[0-9]+)(?![0-9])"


def list_pattern(directory: str, pattern: str) -> Named:
    """The files below a directory whose names match a pattern.

    Hidden names are left out, unless the pattern has the dot.

    Raises
    ------
    FileNotFoundError
        If there are none; it says what is there.
    ValueError
        If the pattern is none, or two files have the same place.
    FormatError
        If a file lies in the unfinished output of a job of mpimages.
    """
    parsed = NamePattern.parse(pattern)
    if not os.path.isdir(directory):
        if not os.path.lexists(directory):
            raise not_found(directory, f"{directory}: no such directory")
        raise ValueError(f"{directory}: pattern= is for the files below a directory, which it says")
    refuse_unfinished([directory])
    paths: list[str] = []
    values: list[tuple[str, ...]] = []
    for path, found in _walk(directory, parsed.levels, ()):
        paths.append(path)
        values.append(found)
    if not paths:
        raise FileNotFoundError(_nothing(directory, parsed))
    refuse_unfinished({os.path.dirname(path) for path in paths})
    return _arrange(parsed, paths, values)


def _walk(
    directory: str, levels: Sequence[re.Pattern[str]], values: tuple[str, ...]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    fullmatch = levels[0].fullmatch
    last = len(levels) == 1
    below = []
    with os.scandir(directory) as entries:
        for entry in entries:
            found = fullmatch(entry.name)
            if found is None:
                continue
            if not last:
                if entry.is_dir():
                    below.append((entry.path, values + found.groups()))
            elif entry.is_file() or (is_input(entry) and not entry.is_dir()):
                yield entry.path, values + found.groups()
    for path, given in below:
        yield from _walk(path, levels[1:], given)


def _arrange(
    pattern: NamePattern, paths: Sequence[str], values: Sequence[tuple[str, ...]]
) -> Named:
    """Order files by what their names say; ValueError where two have the same place."""
    columns = list(zip(*values, strict=True))
    table = np.full((len(paths), len(LETTERS)), -1, dtype=np.int64)
    channels: list[str] = []
    times = []
    for letter, column in zip(pattern.letters, columns, strict=True):
        if letter == "c":
            channels = sorted(set(column), key=natural_key)
            index = {name: i for i, name in enumerate(channels)}
            table[:, LETTERS.index(letter)] = [index[name] for name in column]
        elif letter == "z":
            table[:, LETTERS.index(letter)] = _numbers(pattern, letter, column)
        else:
            times.append(_numbers(pattern, letter, column))
    if times:
        table[:, T] = times[0] if len(times) == 1 else _ranks(times)
    order = np.lexsort(table.T[::-1])
    table = table[order]
    ordered = [paths[i] for i in order.tolist()]
    same = np.flatnonzero((table[1:] == table[:-1]).all(axis=1))
    if same.size:
        i = int(same[0])
        names = sorted(ordered[i : i + 2], key=natural_key)
        raise ValueError(
            f"{names[0]} and {names[1]}: by pattern={quote(pattern.text)} both are "
            f"{_place(table[i], channels)}; it must tell them apart, or leave one out"
        )
    return Named(ordered, table, channels)


def _numbers(pattern: NamePattern, letter: str, texts: Sequence[str]) -> np.ndarray:
    try:
        numbers = np.array(list(map(int, texts)), dtype=np.int64)
    except OverflowError:
        longest = max(texts, key=len)
        raise ValueError(
            f"pattern={quote(pattern.text)}: {{{letter}}} is {quote(longest)} in a name, which is "
            "too large a number"
        ) from None
    if numbers.max() <= 0 and all(text.startswith("-") for text in texts):
        raise ValueError(
            f"pattern={quote(pattern.text)}: before {{{letter}}} a - stands in all names: write "
            f"-{{{letter}}}, as it is no sign there"
        )
    return numbers


def _ranks(numbers: Sequence[np.ndarray]) -> np.ndarray:
    """Of numbers of which the first counts first, the rank of each row."""
    _, ranks = np.unique(np.column_stack(numbers), axis=0, return_inverse=True)
    return ranks.reshape(-1)


def _nothing(directory: str, pattern: NamePattern) -> str:
    """Why nothing matches: the names at the first level at which none does."""
    message = f"{directory}: no files match pattern={quote(pattern.text)}"
    here = [directory]
    for level in pattern.levels:
        names: list[str] = []
        below: list[str] = []
        for path in sorted(here, key=natural_key):
            with os.scandir(path) as entries:
                visible = [entry for entry in entries if not entry.name.startswith(".")]
                below += [e.path for e in visible if level.fullmatch(e.name) and e.is_dir()]
            names = names or [entry.name for entry in visible]
        if not below:
            other = re.compile(level.pattern, re.IGNORECASE | re.DOTALL)
            if any(other.fullmatch(name) and not level.fullmatch(name) for name in names):
                message += "; upper and lower case differ in a pattern"
            where = "it" if here == [directory] else "a directory that matches"
            return f"{message}; {where} has {name_some(names) if names else 'no files'}"
        here = below
    return message


def _place(row: Iterable[int], channels: Sequence[str]) -> str:
    """A row of the table for people: ``t 12, z 3, c DAPI``."""
    said = []
    for letter, number in zip(LETTERS, row, strict=True):
        if number >= 0 or letter != "c":
            name = channels[number] if letter == "c" and channels else number
            said.append(f"{letter} {name}")
    return ", ".join(part for part in said if not part.endswith(" -1")) or "the same"


class Missing(NamedTuple):
    """What a grid of times, planes and channels lacks.

    Attributes
    ----------
    number : int
        How many places have no file.
    first : list of str
        The first few of them, for messages: ``t 12, z 3``.
    at_end : bool
        Whether all times before the first one that lacks something are whole, and none after it.
    """

    number: int
    first: list[str]
    at_end: bool


def find_missing(table: np.ndarray, channels: Sequence[str] = (), most: int = 3) -> Missing:
    """Which places have no file, in the grid of all times, planes and channels that there are.

    Parameters
    ----------
    table : (files, 3) int64 ndarray
        As of `list_pattern`.
    channels : sequence of str, optional
        The names of the channels, for messages.
    most : int
        How many missing places are named.
    """
    planes, names = (np.unique(table[:, column]) for column in (1, 2))
    times, number = np.unique(table[:, T], return_counts=True)
    whole = planes.size * names.size
    lacking = np.flatnonzero(number < whole)
    first: list[str] = []
    for time in times[lacking[:most]]:
        there = set(map(tuple, table[table[:, T] == time].tolist()))
        for place in ((int(time), int(z), int(c)) for z in planes for c in names):
            if place not in there and len(first) < most:
                first.append(_place(place, channels))
    at_end = lacking.size > 0 and int(lacking[0]) == times.size - lacking.size
    return Missing(times.size * whole - len(table), first, at_end)


def find_gaps(paths: Sequence[str], most: int = 3) -> str:
    """Say which numbers are missing among names that count: ``numbers 7, 12 to 15 are missing``.

    Parameters
    ----------
    paths : sequence of str
        Of which one number alone varies; otherwise nothing is said.
    most : int
        How many gaps are named.

    Returns
    -------
    str
        Empty where none is missing; and where more are than there are, as in times of day.
    """
    forms, columns = set(), []
    for path in paths:
        parts = _DIGITS.split(path)
        forms.add(tuple(parts[::2]))
        columns.append(tuple(map(int, parts[1::2])))
        if len(forms) > 1:
            return ""
    varying = {column for column in zip(*columns, strict=True) if len(set(column)) > 1}
    if len(varying) != 1:
        return ""
    numbers = sorted(set(varying.pop()))
    steps = [after - number for number, after in itertools.pairwise(numbers)]
    step = math.gcd(*steps)
    gaps = [
        (number + step, after - step)
        for number, after in itertools.pairwise(numbers)
        if after - number > step
    ]
    missing = sum((b - a) // step + 1 for a, b in gaps)
    if not 0 < missing < len(numbers):
        return ""
    shown = [f"{a}" if a == b else f"{a} to {b}" for a, b in gaps[:most]]
    more = " and others" if len(gaps) > most else ""
    said = f"{', '.join(shown)}{more}"
    return f"number {said} is missing" if missing == 1 else f"numbers {said} are missing"


# -- what names look like -----------------------------------------------------------------

# The words that stand before a number. Those of the last row number recordings that were made
# side by side, which are never one.
_WORDS = {
    "t": "t time times timepoint tp tl frame cycle",
    "z": "z zslice zplane slice plane section zstep",
    "c": "c ch chan channel w wave wavelength",
    "-": "p pos position xy xypos s series scene site field f well tile angle illumination view",
}
_LETTER_OF = {word: letter for letter, words in _WORDS.items() for word in words.split()}
# A channel of MetaMorph with its name, a run of digits with the word before it, or the letter of a
# channel.
_FIELD = re.compile(
    r"_w(?P<wave>[0-9][A-Za-z0-9 -]*)(?=[_.])|"
    r"(?:(?P<word>[A-Z]?[a-z]+|[A-Z]+)[ _.=-]*)?(?P<number>[0-9]+)"
    r"|(?<![A-Za-z])(?:Chan|Channel|Ch)_?(?P<letter>[A-Z])(?![A-Za-z])"
)
# Names of programs, whose groups are what varies. The second: whether nothing is left open.
_PROGRAMS = (
    # Micro-Manager 2.0, and 1.4.
    (r"img_channel(?P<c>\d+)_position(?P<_>\d+)_time(?P<t>\d+)_z(?P<z>\d+)\.tif", True),
    (r"img_(?P<t>\d{9})_(?P<c>.+)_(?P<z>\d{3,})\.tif", True),
    # ThorImage: two numbers of the place, the plane, the time.
    (r"Chan(?P<c>[A-D])_(?P<_>\d+)_(?P<__>\d+)_(?P<z>\d{3,})_(?P<t>\d{3,})\.tif", False),
    # Harmony: row, column and field, the plane, the channel, the time.
    (
        r"r(?P<_>\d+)c(?P<__>\d+)f(?P<___>\d+)p(?P<z>\d+)-ch(?P<c>\d+)sk(?P<t>\d+)fk\d+fl\d+\.tiff?",
        False,
    ),
    # PrairieView: one stack, or stacks in one cycle each; images of one cycle, or such stacks.
    (r"ZSeries.*_Cycle(?P<t>\d{5})_Ch(?P<c>\d)_(?P<z>\d{6,})(?:\.ome)?\.tif", False),
    (r".*_Cycle(?P<t>\d{5})_Ch(?P<c>\d)_(?P<n>\d{6,})(?:\.ome)?\.tif", False),
)  # fmt: skip


class Proposal(NamedTuple):
    """How names can be understood.

    Attributes
    ----------
    directory : str
        Below which the files lie.
    pattern : str
        Reads them as volumes or channels.
    alternative : str
        Reads each file as one image of a movie; empty where channels have names in the names.
    extents : dict
        How many times, planes and channels the pattern finds: ``{"t": 10, "z": 30}``.
    certain : bool
        Whether the names are those of a program that has them so.
    left_out : int
        How many of the files the pattern leaves out: those of other positions, or of other names.
    """

    directory: str
    pattern: str
    alternative: str
    extents: dict[str, int]
    certain: bool
    left_out: int


def propose(paths: Sequence[str], directory: str | None = None) -> Proposal | None:
    """How the names of files say that these are planes or channels; None where they do not.

    Parameters
    ----------
    paths : sequence of str
        In natural order.
    directory : str, optional
        Where the pattern begins: by default the lowest directory that has them all.
    """
    if len(paths) < 2:
        return None
    sample = _sample(paths)
    if directory is None:
        try:
            directory = os.path.commonpath([os.path.dirname(path) for path in sample])
        except ValueError:  # of relative paths and absolute ones
            return None
    begin = len(os.path.join(directory, "")) if directory else 0
    proposal = None
    for some in (sample, paths) if len(sample) < len(paths) else (paths,):
        guesses = _guess([path[begin:] for path in some])
        tried = (_verify(guess, paths, directory, begin) for guess in guesses)
        proposal = next((found for found in tried if found is not None), proposal)
        if not guesses or (proposal is not None and proposal.left_out == 0):
            break
    return proposal


def _sample(paths: Sequence[str]) -> list[str]:
    """The first ones and the last ones, and some at growing distances between them."""
    count = len(paths)
    if count <= 3 * _LOOKED_AT:
        return list(paths)
    between = (int(count * (i / _LOOKED_AT) ** 2) for i in range(_LOOKED_AT))
    chosen = {*range(_LOOKED_AT), *between, *range(count - _LOOKED_AT, count)}
    return [paths[i] for i in sorted(chosen)]


class _Field(NamedTuple):
    """A part of a name that may vary: what it numbers, and where it stands.

    Besides t, z and c: "-" what is not part of a recording, "n" planes where times stand elsewhere
    and times where they do not, "." the digits after a decimal point, "" what is not known.
    """

    letter: str
    start: int
    stop: int


class _Guess(NamedTuple):
    pattern: str
    alternative: str
    certain: bool


def _fields(path: str) -> tuple[list[_Field], bool]:
    """The parts of a path that may vary, and whether the names of its program are certain."""
    name = os.path.basename(path)
    begin = len(path) - len(name)
    for expression, certain in _PROGRAMS:
        found = re.fullmatch(expression, name)
        if found:
            spans = ((key.strip("_") or "-", *found.span(key)) for key in found.groupdict())
            fields = [_Field(key, begin + start, begin + stop) for key, start, stop in spans]
            return sorted(_numbered(path[:begin]) + fields, key=lambda f: f.start), certain
    return _numbered(path), False


def _numbered(path: str) -> list[_Field]:
    found = []
    for match in _FIELD.finditer(path):
        named = "wave" if match["wave"] else "letter"
        if match[named]:
            found.append(_Field("c", *match.span(named)))
        else:
            letter = _LETTER_OF.get((match["word"] or "").lower(), "")
            start, stop = match.span("number")
            follows = bool(found) and path[found[-1].stop : start] == "." and stop - start < 3
            found.append(_Field("." if follows else letter, start, stop))
    return found


def _guess(paths: Sequence[str]) -> list[_Guess]:
    """Patterns for most of some paths, the likeliest first."""
    forms: Counter[tuple[str, ...]] = Counter()
    members: dict[tuple[str, ...], list[tuple[str, list[_Field], bool]]] = {}
    for path in paths:
        fields, certain = _fields(path)
        form = _between(path, fields)
        forms[form] += 1
        members.setdefault(form, []).append((path, fields, certain))
    form, number = forms.most_common(1)[0]
    if number < 2 or 2 * number < len(paths):
        return []
    chosen = members[form]
    _, fields, certain = chosen[0]
    values = [
        [path[found[i].start : found[i].stop] for path, found, _ in chosen]
        for i in range(len(fields))
    ]
    texts = [column[0] for column in values]
    guesses = []
    for letters in _letters(fields, values):
        movie = ["t" if letter in ("z", "c") else letter for letter in letters]
        numbers = all(
            text.isdecimal()
            for i, column in enumerate(values)
            if movie[i] == "t"
            for text in column
        )
        alternative = _write(form, movie, texts) if numbers else ""
        guesses.append(_Guess(_write(form, letters, texts), alternative, certain))
    return guesses


def _between(path: str, fields: Sequence[_Field]) -> tuple[str, ...]:
    """What stands between the parts that may vary."""
    edges = [0, *(edge for field in fields for edge in field[1:]), len(path)]
    return tuple(path[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True))


def _letters(fields: Sequence[_Field], values: Sequence[Sequence[str]]) -> list[list[str]]:
    """What each part of the names may be: t, z, c, * for what says nothing new, "" for itself.

    Empty where no plane and no channel varies, a number has decimals, or two parts say different
    numbers for one.
    """
    varies = [len(set(column)) > 1 for column in values]
    taken: dict[str, int] = {}
    letters = []
    timed = any(vary and field.letter == "t" for vary, field in zip(varies, fields, strict=True))
    for i, field in enumerate(fields):
        letter = field.letter if varies[i] and field.letter != "-" else ""
        if letter == "n":
            letter = "z" if timed else "t"
        if letter in taken:
            if not _equal(values[taken[letter]], values[i]):
                return []
            letter = "*"
        elif letter:
            taken[letter] = i
        letters.append(letter)
    if not {"z", "c"} & set(taken) or "." in taken:
        return []
    unknown = [i for i, field in enumerate(fields) if varies[i] and not field.letter]
    # They number the times together, or one of them does, and the others are times of day.
    some = [[]] if "t" in taken or not unknown else [unknown, unknown[:1], unknown[-1:]]
    return [
        [("t" if i in times else "*") if i in unknown else letters[i] for i in range(len(fields))]
        for times in some
    ]


def _equal(one: Sequence[str], other: Sequence[str]) -> bool:
    return [text.lstrip("0") for text in one] == [text.lstrip("0") for text in other]


def _write(form: Sequence[str], letters: Sequence[str], texts: Sequence[str]) -> str:
    """The pattern with these letters; the texts of the others stand for themselves."""
    written = re.sub(r"[*?{}]", "?", form[0])
    for letter, text, after in zip(letters, texts, form[1:], strict=True):
        written += f"{{{letter}}}" if letter in ("t", "z", "c") else letter or text
        written += re.sub(r"[*?{}]", "?", after)
    return written


def _verify(guess: _Guess, paths: Sequence[str], directory: str, begin: int) -> Proposal | None:
    """What a guess finds among all paths; None where it does not make a grid."""
    try:
        pattern = NamePattern.parse(guess.pattern)
        start = paths[0][:begin]
        values = [pattern.match(p[begin:]) if p.startswith(start) else None for p in paths]
        named = _arrange(
            pattern,
            [path for path, found in zip(paths, values, strict=True) if found is not None],
            [found for found in values if found is not None],
        )
        if guess.alternative:
            NamePattern.parse(guess.alternative)
    except ValueError:
        return None
    counts = {
        letter: np.unique(named.table[:, LETTERS.index(letter)]).size
        for letter in LETTERS
        if letter in pattern.letters
    }
    if 2 * len(named.paths) <= math.prod(counts.values()):
        return None
    left_out = len(paths) - len(named.paths)
    certain = guess.certain and left_out == 0
    return Proposal(directory, guess.pattern, guess.alternative, counts, certain, left_out)
