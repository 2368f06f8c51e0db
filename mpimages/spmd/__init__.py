"""Coordination of ranks: agreement, transfers, waiting, launch, signals and the end of a job."""
