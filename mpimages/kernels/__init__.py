"""The C kernels: each module checks its arguments, releases the GIL and calls one C file."""
