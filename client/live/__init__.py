"""Live runs: services that act freely on wall time, whose schedule is recorded."""
