"""Methods of Images and Series, grouped by what they are for."""
