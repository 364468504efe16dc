from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar, Self

from client.check.definition import Definition
from client.check.monitor import Monitor
from client.check.world import World, lbr_on
from contract.trace import Crash, GuestMsr, HostLbr, HostMsr, LbrRestore, Retired, VmEntry


class OneOwner(Monitor):
    __slots__ = ("guests", "host_on")

    name = "one-owner"
    definition = Definition(
        rules=("R10", "R12", "R18"),
        text=(
            "Host and guest never both use the LBR of one CPU. This is about use, not about the state of an "
            "event. The host uses the LBR while perf has it on for host events. A guest uses it when it "
            "enters with DEBUGCTL.LBR set, when it accesses an LBR register itself, and when KVM accesses one "
            "for it. A guest whose entry switched the whole LBR uses an LBR of its own."
        ),
        broken_by=(
            "A use by a guest, or by KVM for it, on a CPU where perf has the LBR on. Also a host branch that "
            "is recorded into the ring of the guest whose thread is on the CPU, while that guest's LBR is on."
        ),
        evidence="A guest that has used the LBR enters, or uses it, on a CPU where a host LBR event is ACTIVE.",
        reads={
            HostLbr: "when the host begins and ends to use the LBR",
            VmEntry: "DEBUGCTL.LBR of the guest, and whether the LBR was switched",
            GuestMsr: "accesses that the hardware served to the guest",
            HostMsr: "accesses of KVM on behalf of a guest",
            LbrRestore: "an LBR that KVM loads for a guest",
            Retired: "host branches that were recorded",
            Crash: "CPUs whose LBR is off, because their host is without power",
        },
        unseen=(
            "Users that take turns on one CPU without a switch of the LBR between them; the results are the "
            "subject of no-leak and no-loss."
        ),
    )

    host_on: set[int]
    """CPUs whose LBR perf has on."""
    guests: set[str]
    """Vcpus that have used the LBR."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.host_on = set()
        self.guests = set()

    def clone(self, world: World) -> Self:
        twin = super().clone(world)
        twin.host_on, twin.guests = self.host_on.copy(), self.guests.copy()
        return twin

    def key(self) -> tuple[Hashable, ...]:
        return *super().key(), frozenset(self.host_on), frozenset(self.guests)

    def _host(self, r: HostLbr) -> None:
        if not r.enabled:
            self.host_on.discard(r.cpu)
        elif r.cpu not in self.host_on:
            self.host_on.add(r.cpu)
            self.note(r.seq, "host on", r.cpu)

    def _entry(self, r: VmEntry) -> None:
        if lbr_on(r.debugctl) and not r.switched:
            if self._shared(r.cpu, r.vcpu):
                self._both(r, f"{r.vcpu} enters with DEBUGCTL.LBR set")
        else:
            self._contend(r.cpu, r.vcpu)

    def _guest_msr(self, r: GuestMsr) -> None:
        if self.world.cpus[r.cpu].switched:
            self.guests.add(r.vcpu)
            self._contend(r.cpu, r.vcpu)
            return
        if self._shared(r.cpu, r.vcpu):
            self._both(r, f"{r.vcpu} {'writes' if r.write else 'reads'} an LBR register")

    def _host_msr(self, r: HostMsr) -> None:
        if r.on_behalf and r.msr in self.world.lbr_msrs and self._shared(r.cpu, r.on_behalf):
            self._both(r, f"KVM {'writes' if r.write else 'reads'} an LBR register for {r.on_behalf}")

    def _restore(self, r: LbrRestore) -> None:
        if r.component == "kvm" and self._shared(r.cpu, r.owner):
            self._both(r, f"KVM writes the LBR for {r.owner}")

    def _retired(self, r: Retired) -> None:
        """Host branches that go into a guest's ring: the guest's thread is on this CPU and last ran with its LBR on."""
        cpu = self.world.cpus[r.cpu]
        entry = cpu.entry
        if r.guest or not r.recorded or r.cpu in self.host_on or entry is None or cpu.task != entry.vcpu:
            return
        if lbr_on(entry.debugctl) and not entry.switched and self._has_right(entry.vcpu, r.cpu):
            text = f"host branches are recorded on cpu{r.cpu} into the ring of {entry.vcpu}"
            self.violated(r.seq, text, self.world.entered_by(r.cpu))

    def _has_right(self, vcpu: str, cpu: int) -> bool:
        event = self.world.guest_event(vcpu, cpu)
        return event is None or event.state == "ACTIVE"

    def _shared(self, cpu: int, vcpu: str) -> bool:
        """Take in a use of the LBR by or for the guest. True if the host uses the LBR now, too."""
        self.guests.add(vcpu)
        self._contend(cpu, vcpu)
        return cpu in self.host_on

    def _both(self, r: VmEntry | GuestMsr | HostMsr | LbrRestore, text: str) -> None:
        self.violated(r.seq, f"{text} while the host has the LBR of cpu{r.cpu} on", self.noted("host on", r.cpu))

    def _contend(self, cpu: int, vcpu: str) -> None:
        if not self.exercised and vcpu in self.guests:
            self.exercised = bool(self.world.host_lbr_events(cpu))

    def _crash(self, r: Crash) -> None:
        self.host_on.difference_update(self.world.cpus_of(r))

    HANDLERS: ClassVar = {
        Crash: _crash,
        HostLbr: _host,
        VmEntry: _entry,
        GuestMsr: _guest_msr,
        HostMsr: _host_msr,
        LbrRestore: _restore,
        Retired: _retired,
    }
