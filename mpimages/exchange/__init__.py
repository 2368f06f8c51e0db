"""Redistribution of the images of all ranks into blocks of pixels with all their times."""
