"""The forms in which people and programs get a run: run files, JSON documents, the log, tables."""
