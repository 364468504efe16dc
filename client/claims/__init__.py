"""What the 2019 thread claims, put to the model: each claim is a question to runs, its answer is read off their traces.

Nothing here knows an answer. A claim names runs, says what it expects of them, and what the traces say is set beside
that; where the two differ it is a finding.
"""

from client.claims.claim import Check, Claim
from client.claims.registry import CLAIMS

__all__ = ["CLAIMS", "Check", "Claim"]
