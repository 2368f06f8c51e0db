"""Images to files, in rounds within a budget, resumable."""
