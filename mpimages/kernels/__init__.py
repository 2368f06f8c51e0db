"""The C kernels.

Each module checks its arguments, releases the GIL and calls functions of `mpimages.h`.
"""
