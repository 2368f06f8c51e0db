"""Simulated recordings, the same bytes on every machine."""
