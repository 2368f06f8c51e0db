"""Which clone of the kernels runs: the processor's best, unless another is forced."""

cdef extern from "mpimages.h":
    enum: MPIM_ISA_COUNT
    const char *mpim_isa_name(int isa)
    int mpim_isa_best()


cdef int _selected = mpim_isa_best()


cdef int current() noexcept nogil:
    return _selected


def available():
    """The levels that this processor can run, lowest first.

    Returns
    -------
    list of str
        Names of the x86-64 psABI: ``'x86-64'``, ``'x86-64-v3'``, ``'x86-64-v4'``; elsewhere
        ``['plain']``.
    """
    return [mpim_isa_name(isa).decode() for isa in range(mpim_isa_best() + 1)]


def level():
    """The name of the level that is in use."""
    return mpim_isa_name(_selected).decode()


def force(name=None):
    """Use one level from now on, in all threads; None: the best.

    All levels give the same bits; this is for tests and benchmarks.

    Raises
    ------
    ValueError
        The processor does not have the level.
    """
    global _selected
    names = available()
    if name is None:
        name = names[-1]
    if name not in names:
        raise ValueError(f"no level {name!r} here; this processor has {', '.join(names)}")
    _selected = names.index(name)
