"""Hostile clients against the two services: what they cost a neighbour, and how much memory they take.

``python -m tests.hostile`` measures; ``tests/integration/test_hostile.py`` asserts what does not depend on time.
"""
