"""Tools without MPI or files: partitions, arguments, text, memory, time, checksums."""
