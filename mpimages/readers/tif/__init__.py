"""TIFF: what the pages are, where they lie, and how they are decoded."""
