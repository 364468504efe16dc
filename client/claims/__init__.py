"""The claims of the 2019 thread, put to the model: each is a question to runs, and their traces give the answer.

Nothing here knows an answer. A claim names runs, says what it expects of them, and what the traces say is set beside
that; where the two differ it is a finding.
"""

from client.claims.claim import Check, Claim
from client.claims.registry import CLAIMS

__all__ = ["CLAIMS", "Check", "Claim"]
