"""Processes that carry out calls: of this machine, or of a Dask cluster. Both have one interface."""
