"""A chain (source, selection, steps) and the runner that streams it over the ranks."""
