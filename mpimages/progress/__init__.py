"""Progress of all ranks, as a bar or in lines, and the timings of phases."""
