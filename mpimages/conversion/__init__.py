"""Conversion of images to files, in rounds within a budget, resumable."""
