"""The command line: ``lbrlab``."""
