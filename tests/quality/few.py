"""Two of the planted bugs, and one that changes nothing."""

from __future__ import annotations

from client.search.mutant import Control, Mutant
from tests.quality import mutants

HARMLESS = Mutant("harmless", "a bug that changes nothing", mutants.FENCED)
MUTANTS = [mutant for mutant in mutants.MUTANTS if mutant.name in ("no-fence", "resends-once")]
CONTROLS = [Control(mutants.FENCED)]
