"""Recorded behaviour of real kernels, replayed through the model: cases, replay, comparison."""
