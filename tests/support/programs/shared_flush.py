"""shared_flush.py PATH, with the library of faults: who is told of a page that the disk refused.

Three writers of one file. Prints what the flush of each says, and the first one's bytes.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys

from mpimages.writers.output.files import OutputFiles, create_file, write_all

SYNC, LOST = 2, 2


def flush(files: OutputFiles) -> str:
    try:
        files.sync()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


def main() -> None:
    path = sys.argv[1]
    library = ctypes.CDLL(os.environ["LD_PRELOAD"])
    create_file(path, 24)
    first, second, third = (OutputFiles([path]) for _ in range(3))
    for number, files in enumerate((first, second)):
        write_all(files.descriptor(0), b"written.", 8 * number)
    library.faults_arm(SYNC, 1, LOST, errno.EIO)
    print(flush(second))
    library.faults_disarm()
    # Opened when the error has been told: it flushes the first one's bytes, and knows of nothing.
    write_all(third.descriptor(0), b"written.", 16)
    print(flush(third))
    print(flush(first))
    with open(path, "rb") as file:
        print(file.read(8) == b"written.")


if __name__ == "__main__":
    main()
