"""Statistics over records: exact sums, one tree for floats, merged over ranks."""
