"""Runs in which services crash and restart, and threads end: schedules, random points, and their play on real
processes."""
