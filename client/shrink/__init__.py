"""Shrink a run that violates something to the smallest run that still does, and find the nearest run that does not."""
