"""Names, marks and tags by which files on the disk are known."""
