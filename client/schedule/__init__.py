"""The schedule of a run: its open decisions as data and as text, faults, and the strategies that take the decisions."""
