"""Runs whose sessions keep few messages, and in which one end acknowledges nothing for long (R26)."""

from __future__ import annotations

from client.drive.sim import SimWire
from client.litmus import parse
from contract.control import AnyKvmCommand, AnyPerfCommand, ConfigureKvm, ConfigurePerf
from contract.effects import StepResult
from contract.results import AnyResult

LIMIT = 64
STORY = parse(
    "LBR overrun\nmachine { depth = 8; }\ntask t0;\nvm vm0 { lbr = on; }\n"
    "host { run vm0/0 on cpu0; }\n"
    "vm0/0 { repeat 41 { wrmsr DEBUGCTL, LBR; branch 2; t = rdmsr LBR_TOS; } }\n"
    "host2 { repeat 40 { advance 1ms; h = open cpu0 pinned branch any; "
    "run t0 on cpu0; run vm0/0 on cpu0; run t0 on cpu0; close h; run vm0/0 on cpu0; } }\n",
    "overrun",
)
FAULTS = {
    "one way of the link is cut": "cut host>kvm0 at Revoke 2 by 200ms",
    "messages to KVM are lost": "drop host>kvm0 after 2ms before 150ms",
    "acknowledgements are lost": "drop Received after 2ms before 150ms",
}
"""Each keeps KVM from acknowledging what the host sends in STORY, until the host gives the epoch up."""


class ShortWire(SimWire):
    """The simulated wire with services that were given ``--max-unsent 64``."""

    def perf(self, command: AnyPerfCommand, host: int = 0) -> StepResult[AnyResult]:
        step = super().perf(command, host)
        if isinstance(command, ConfigurePerf):
            self.hosts[host].endpoint.unsent = LIMIT
        return step

    def kvm(self, session: str, command: AnyKvmCommand) -> StepResult[AnyResult]:
        step = super().kvm(session, command)
        if isinstance(command, ConfigureKvm):
            self.kvms[session].endpoint.session.outgoing.most = LIMIT
        return step
