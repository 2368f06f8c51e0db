"""Register recordings of images and volumes: registered.py, prints a line with each digest."""

from __future__ import annotations

from mpimages import ThunderContext
from tests.registration.moving import CASES, digest, recorded


def main() -> None:
    with ThunderContext(memory="512MB") as tsc:
        for name, (changes, options) in CASES.items():
            found = digest(tsc.loadImagesFromArray(recorded(**changes)[1]), **options)
            if tsc.rank == 0:
                print(name, found)


if __name__ == "__main__":
    main()
