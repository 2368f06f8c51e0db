"""Formats that well-kept libraries read: a thin reader over each."""
