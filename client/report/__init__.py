"""Runs for people and for programs: run files, JSON documents, the log, tables."""
