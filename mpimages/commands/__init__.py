"""The commands of the command line, one a file; what they share is in options and running."""
