"""The redistribution: images of all ranks become blocks of pixels with all their times."""
