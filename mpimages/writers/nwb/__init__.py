"""NWB 2: the facts that the standard demands, and the objects that state them around a dataset."""
