"""The claims of the 2019 thread as questions to the model: runs are played, and their traces give the answers.

No answer is stored here. A claim names runs and the results that it expects of them. Where the traces show another
result, there is a finding.
"""

from client.claims.claim import Claim, ClaimCheck
from client.claims.registry import CLAIMS

__all__ = ["CLAIMS", "Claim", "ClaimCheck"]
