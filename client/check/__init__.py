"""The verdict: invariants judged over the records of a trace, and the scenario's final condition."""
