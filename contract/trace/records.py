"""Every type of record."""

from __future__ import annotations

from contract.trace.driver import AnyDriverRecord
from contract.trace.kvm import AnyKvmRecord
from contract.trace.link import AnyLinkRecord
from contract.trace.perf import AnyPerfRecord
from contract.trace.silicon import AnySiliconRecord

AnyRecord = AnyDriverRecord | AnyLinkRecord | AnySiliconRecord | AnyPerfRecord | AnyKvmRecord
