"""Arrays that lie in a file as they are: flat binary and NPY."""
