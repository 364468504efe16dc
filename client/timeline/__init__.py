"""A run as pictures need it: lanes, messages with their fates, owners of the LBR, beliefs of both sides.

All of it is computed from a ``Run`` alone, and draws nothing. The exports and the report draw it.
"""
