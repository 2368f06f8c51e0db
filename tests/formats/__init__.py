"""Tests of what files of a format are made of."""
