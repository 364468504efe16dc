"""The parts of the model that runs exercise: rules, transitions of each state table, invariants, axis values."""

from client.coverage.items import ALL, GROUPS, Item, axis_items, group_of, verdict_items
from client.coverage.trace import exercised, fault_items

__all__ = ["ALL", "GROUPS", "Item", "axis_items", "exercised", "fault_items", "group_of", "verdict_items"]
