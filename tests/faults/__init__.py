"""Every fault that a machine has, in every output, at every k-th call: see `__main__`."""
