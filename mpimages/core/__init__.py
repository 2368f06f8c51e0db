"""What needs neither MPI nor files: partitions, arguments, text, memory, time, checksums."""
