"""The exceptions that are mpimages' own; where one of Python's fits, that one is raised."""

from __future__ import annotations

__all__ = ["CollectiveMismatchError", "FormatError", "LaunchError", "RankError"]


class FormatError(ValueError):
    """A file is damaged, truncated, or not of the format it was taken for."""


class LaunchError(RuntimeError):
    """The processes were not started as the one MPI job that the user meant."""


class CollectiveMismatchError(RuntimeError):
    """Ranks called different actions, or one left while the others waited."""


class RankError(RuntimeError):
    """Stands in for another rank's exception that cannot be rebuilt on this rank."""
