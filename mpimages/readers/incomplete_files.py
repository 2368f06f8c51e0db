"""Files of which the last images are not whole: which are, and what is wrong with the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..errors import FormatError
from .base import Header, Reader
from .options import Options


@dataclass(frozen=True)
class Rest:
    """What is wrong with the part of a file that is left out. Plain, for it is sent to all ranks.

    Attributes
    ----------
    why : str
    damage : bool
        Whether it is the file that is wrong, and not an argument.
    """

    why: str
    damage: bool

    def error(self, advice: str = "") -> ValueError:
        """The error where it is not to be left out."""
        return (FormatError if self.damage else ValueError)(f"{self.why}{advice}")


def inspect_first(
    reader: Reader, path: str, options: Options, lenient: bool
) -> tuple[Header, Rest | None]:
    """The header of a recording's first file, which counts the images that are whole.

    Parameters
    ----------
    reader, path, options
    lenient : bool
        Whether images that are not whole are no error yet.

    Raises
    ------
    ValueError
        As `Reader.inspect`; it says which arguments would read the file where some would.
    """
    dropping = _dropping(reader, options)
    whole: Header | None = None
    if options.incomplete is not None and dropping is not None:
        whole = reader.inspect(path, dropping)
    try:
        header = reader.inspect(path, replace(options, incomplete=None))
    except ValueError as error:
        if lenient and dropping is not None and whole is None:
            whole = _attempt(reader, path, dropping)
        if lenient and whole is not None:
            return whole, Rest(str(error), isinstance(error, FormatError))
        raise _add_advice(reader, path, options, error) from None
    if whole is None or whole.count == header.count:
        return header, None
    return whole, Rest(_short(path, whole.count, header.count), True)


def count_images(
    reader: Reader, path: str, options: Options, header: Header, lenient: bool
) -> tuple[int, Rest | None]:
    """How many images another file of the recording has that are whole."""
    dropping = _dropping(reader, options)
    try:
        count = reader.count(path, replace(options, incomplete=None), header)
    except ValueError as error:
        if dropping is None:
            raise
        whole = _count_whole(reader, path, dropping, header, error)
        rest = Rest(str(error), isinstance(error, FormatError))
        if not lenient:
            raise rest.error(_ADVICE) from None
        return whole, rest
    if options.incomplete is None or dropping is None:
        return count, None
    whole = reader.count(path, dropping, header)
    return whole, None if whole == count else Rest(_short(path, whole, count), True)


def _count_whole(
    reader: Reader, path: str, dropping: Options, header: Header, error: ValueError
) -> int:
    """Count the complete images of a truncated file. Raise `error` if it is not truncated."""
    try:
        return reader.count(path, dropping, header)
    except ValueError:
        if not isinstance(error, FormatError) or _attempt(reader, path, dropping) is not None:
            raise error from None  # of another kind than the recording, or wrong arguments
        return 0


_ADVICE = "; a stopIdx= before it, or incomplete='drop', leaves it out"


def _dropping(reader: Reader, options: Options) -> Options | None:
    """The options by which what is not whole is left out; None where the format has no such."""
    return replace(options, incomplete="drop") if "incomplete" in reader.takes else None


def _attempt(reader: Reader, path: str, options: Options) -> Header | None:
    try:
        return reader.inspect(path, options)
    except ValueError:
        return None


def _add_advice(reader: Reader, path: str, options: Options, error: ValueError) -> ValueError:
    """The error with advice that would help: it has been tried."""
    dropping = _dropping(reader, options)
    if dropping is None or options.incomplete is not None:
        return error
    tries = [(dropping, "a stopIdx= of at most {}, or incomplete='drop', leaves it out")]
    if (
        options.nplanes is None
        and "nplanes" in reader.takes
        and _attempt(reader, path, replace(options, nplanes=1)) is None
    ):
        tries.append(
            (
                replace(dropping, nplanes=1),
                "nplanes=1 with incomplete='drop' reads its whole pages, {}",
            )
        )
    for further, words in tries:
        found = _attempt(reader, path, further)
        if found is not None and found.count:
            return type(error)(f"{error}; {words.format(found.count)}")
    return error


def _short(path: str, whole: int, count: int) -> str:
    return f"{path}: of its {count} images {whole} are whole: the data of the others are not there"
