"""Outputs that are whole or absent: staging, ownership, journal, names."""
