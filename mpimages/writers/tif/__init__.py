"""Writers of TIFF: a file for each image, or one of many pages."""
