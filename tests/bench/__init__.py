"""Benchmarks: ``make bench``. Figures for people to read, never asserted. Quote ratios of one run, machines are
noisy."""
