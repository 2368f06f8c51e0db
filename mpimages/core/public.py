"""Public methods as their callers see them: wrong calls, and errors in a notebook.

A wrapper around each public method does two things. First it compares the arguments with the
signature: what is wrong is told with the class and method that were called, and not with those
of an internal function. And it marks the exceptions that leave the method, so that IPython shows
them without the frames inside of the package. An exception keeps all of its frames.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from .notebooks import mark

__all__ = ["entry", "public", "taking"]

Function = TypeVar("Function", bound=Callable[..., Any])
Public = TypeVar("Public", bound="type | Callable[..., Any]")

# Methods that NumPy's users call with an axis, and NumPy's own functions with more.
STATISTICS = {"mean", "variance", "stdev", "sum", "max", "min"}
STATISTICS_HINT = ": it is NumPy's with axis=0; for other axes toArray() gathers an ndarray"
# Names of first parameters that a call does not give.
BOUND = ("self", "cls")


def public(kind: Public) -> Public:
    """Wrap a function, or the public methods of a class that are not wrapped yet. A decorator.

    A class whose objects users do not make by themselves says in `_made_by` how to come by one.
    """
    if not isinstance(kind, type):
        return entry(kind)
    for name, member in list(vars(kind).items()):
        static = isinstance(member, (staticmethod, classmethod))
        function = member.__func__ if static else member
        seen = name == "__init__" or not name.startswith("_")
        if seen and inspect.isfunction(function) and not hasattr(function, "is_entry"):
            wrapped = entry(function)
            setattr(kind, name, type(member)(wrapped) if static else wrapped)
        elif isinstance(member, property) and member.fset is not None:
            setattr(kind, name, member.setter(entry(member.fset)))
    return kind


def entry(
    method: Function, around: Callable[[Any], AbstractContextManager[object]] | None = None
) -> Function:
    """Wrap one public function.

    Parameters
    ----------
    method : function
    around : callable, optional
        Called with the object of a method; the method runs within what it returns.
    """

    @functools.wraps(method)
    def entered(*args: Any, **kwargs: Any) -> Any:
        try:
            _check_call(method, args, kwargs)
            if around is None:
                return method(*args, **kwargs)
            with around(args[0]):
                return method(*args, **kwargs)
        except BaseException as error:
            mark(error)
            raise

    vars(entered)["is_entry"] = True
    return entered  # type: ignore[return-value]


def taking(other: Callable[..., Any]) -> Callable[[Function], Function]:
    """Give a method that hands all arguments on the signature of the other. A decorator."""

    def sign(method: Function) -> Function:
        returned = inspect.signature(method).return_annotation
        signature = inspect.signature(other).replace(return_annotation=returned)
        vars(method)["__signature__"] = signature
        return method

    return sign


# -- wrong calls ---------------------------------------------------------------------------

_signature = functools.cache(inspect.signature)


def _check_call(method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raise TypeError, as the caller knows the method, unless the arguments fit. Local."""
    try:
        _signature(method).bind(*args, **kwargs)
    except TypeError as error:
        said = str(error)
        given = said if said.startswith(("got", "missing")) else f"got {said}"
        called = _called(method, args)
        other_way = getattr(args[0], "_made_by", "") if method.__name__ == "__init__" else ""
        if other_way:
            raise TypeError(f"{called} cannot be made by itself: use {other_way}") from None
        hint = STATISTICS_HINT if method.__name__ in STATISTICS else ""
        meant = _meant(method, kwargs)
        raise TypeError(
            f"{called}() {given}{meant}; it is {called}{_plain(method)}{hint}"
        ) from None


def _meant(method: Callable[..., Any], kwargs: dict[str, Any]) -> str:
    """What a keyword that a method does not have may stand for. Local."""
    from difflib import get_close_matches

    names = {name.lower(): name for name in _signature(method).parameters if name not in BOUND}
    for given in kwargs:
        near = get_close_matches(given.lower().replace("_", ""), names, 1, 0.75)
        if given not in names.values() and near:
            return f" (did you mean {names[near[0]]}?)"
    return ""


def _called(method: Callable[..., Any], args: tuple[Any, ...]) -> str:
    """The name by which a method was called. Local."""
    first = next(iter(_signature(method).parameters), "")
    if not args or first not in BOUND:
        return method.__qualname__
    owner: str = (args[0] if first == "cls" else type(args[0])).__name__
    return owner if method.__name__ == "__init__" else f"{owner}.{method.__name__}"


def _plain(method: Callable[..., Any]) -> inspect.Signature:
    """The signature as one calls it: without types, and without the object. Local."""
    empty = inspect.Parameter.empty
    parameters = [
        parameter.replace(annotation=empty)
        for name, parameter in _signature(method).parameters.items()
        if name not in BOUND
    ]
    return inspect.Signature(parameters)
