"""Hypothesis judges what a test says, not how fast a loaded machine is."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("lbrlab", deadline=None)
settings.load_profile("lbrlab")
