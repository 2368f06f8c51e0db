"""Decompositions of a collection: components, clusters and regressions of pixels × times."""
