"""The exceptions that are mpimages' own; where one of Python's fits, that one is raised."""

from __future__ import annotations

import os

__all__ = [
    "CollectiveMismatchError",
    "FormatError",
    "GatherWarning",
    "Interrupted",
    "LaunchError",
    "RankError",
    "not_found",
]


class FormatError(ValueError):
    """A file is damaged, truncated, or not of the format it was taken for."""


class LaunchError(RuntimeError):
    """The processes are not the one MPI job that the user meant, or have other versions."""


class CollectiveMismatchError(RuntimeError):
    """Ranks called different actions, or one left while the others waited."""


class Interrupted(SystemExit):
    """A signal stopped a conversion early; what is done is kept, for ``resume=True``.

    Uncaught it ends the program with exit code 75, by which batch systems and scripts know
    that trying again is worth while (EX_TEMPFAIL of sysexits.h).
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.code = 75


class GatherWarning(UserWarning):
    """A loop brings every record to every rank, where a method would leave them on their ranks."""


class RankError(RuntimeError):
    """Stands in for another rank's exception that cannot be rebuilt on this rank."""


def not_found(path: str, message: str) -> OSError:
    """The error for a path that is not found: the system's, where it may not be looked for."""
    try:
        os.lstat(path)
    except PermissionError as error:
        return error
    except (OSError, ValueError):
        return FileNotFoundError(message)
    return FileNotFoundError(message)
