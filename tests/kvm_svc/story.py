"""Random stories of one vCPU: a guest, user space, a host that answers requests and may lose, double and
reorder its own messages, and a silicon that gives any possible reply."""

from __future__ import annotations

import random
from contextlib import suppress

from contract.control import AnyKvmCommand, GetMsr, ResetVcpu, SetMsr, StepVcpu, StopLbr
from contract.design import Design
from contract.errors import RefusedError
from contract.machine import (
    AnyReply,
    AnyRequest,
    Continue,
    CounterRead,
    Enter,
    EntryRefused,
    Exit,
    GuestValue,
    LbrLoaded,
    LbrStored,
    LoadLbr,
    MsrDone,
    Ran,
    ReadCounter,
    StoreLbr,
    Wrmsr,
)
from contract.messages import (
    AnyMessage,
    Available,
    CreateCounter,
    CreateEvent,
    EnableEvent,
    EventCreated,
    EventState,
    LbrImage,
    ResumeCounter,
    Revoke,
    SchedIn,
    SchedOut,
)
from contract.spec import LEASE_NS
from contract.trace import VcpuWait, VcpuWake
from contract.x86 import IA32_DEBUGCTL, MSR_EVENTSEL, MSR_GLOBAL_CTRL
from tests.kvm_svc.rig import FROM0, VCPU
from tests.kvm_svc.told import READ, TURN_ON, WRITE, Told, exit_of

COUNT = Wrmsr(MSR_EVENTSEL, 3 << 16 | 1 << 22)
ALL_COUNTERS = Wrmsr(MSR_GLOBAL_CTRL, 0xF)


class Story:
    def __init__(self, design: Design, seed: int) -> None:
        self.told = Told(design)
        self.design = design
        self.seed = seed
        self.random = random.Random(seed)
        self.events = 0
        self.grants = 0
        self.answers: list[EventCreated] = []
        self.say(SchedIn(VCPU, 0, 0))

    def __repr__(self) -> str:
        return f"{self.design.name}, seed {self.seed}: {self.told.log.records[-5:]}"

    def act(self) -> None:
        self.random.choice((self.guest, self.guest, self.guest, self.user, self.answer, self.answer, self.news))()
        self.hear(self.told.heard())

    def sleeps(self) -> bool:
        """As the trace has it."""
        last = next((r for r in reversed(self.told.log.records) if isinstance(r, VcpuWait | VcpuWake)), None)
        return isinstance(last, VcpuWait)

    # Commands ------------------------------------------------------------------------------------------------

    def guest(self) -> None:
        code = self.random.choice((READ, WRITE, TURN_ON, COUNT, ALL_COUNTERS))
        self.run(StepVcpu(VCPU, [] if self.told.vcpu().ops else [code]))

    def user(self) -> None:
        usual: list[AnyKvmCommand] = [GetMsr(VCPU, FROM0), SetMsr(VCPU, IA32_DEBUGCTL, 1)]
        seldom: list[AnyKvmCommand] = [ResetVcpu(VCPU), StopLbr(VCPU)]
        self.run(self.random.choice(seldom if self.random.random() < 0.1 else usual))

    def run(self, command: AnyKvmCommand) -> None:
        with suppress(RefusedError):
            self.told.carry_out(command, self.reply)

    def reply(self, request: AnyRequest) -> AnyReply:
        match request:
            case Enter():
                return self.entry(request)
            case Continue(kick=True):
                return Exit("external-interrupt", [], 0)
            case Continue():
                return self.guest_mode(request, None)
            case StoreLbr():
                return LbrStored(LbrImage())
            case LoadLbr():
                return LbrLoaded()
            case ReadCounter():
                return CounterRead(0)
        return MsrDone(self.maybe())

    def entry(self, request: Enter) -> AnyReply:
        check = request.controls.check
        active = None if check is None else self.maybe()
        if check is not None and check.refuse and not active:
            return EntryRefused("the entry check", checked=True)
        return self.guest_mode(request, active)

    def guest_mode(self, request: Enter | Continue, active: bool | None) -> Ran | Exit:
        op = request.ops[0]
        assert isinstance(op, type(READ) | type(WRITE))
        if self.maybe():
            return Ran([GuestValue()], active)
        exit_ = exit_of(op)
        exit_.event_active = active
        return exit_

    def maybe(self) -> bool:
        return self.random.random() < 0.5

    # The host --------------------------------------------------------------------------------------------------

    def say(self, body: AnyMessage) -> None:
        self.hear(self.told.tell(body))

    def hear(self, said: list[AnyMessage]) -> None:
        for body in said:
            if isinstance(body, CreateEvent | CreateCounter):
                self.events += 1
                failed = self.random.random() < 0.2
                self.answered(body.request, 0 if failed else self.events, "EBUSY" if failed else "")
            elif isinstance(body, EnableEvent | ResumeCounter):
                self.answered(body.request, body.event)

    def answered(self, request: int, event: int, errno: str = "") -> None:
        state = self.random.choice(("ACTIVE", "INACTIVE", "ERROR")) if event else ""
        self.grants += state == "ACTIVE"
        grant = self.grants if state == "ACTIVE" else 0
        self.answers.append(EventCreated(VCPU, request, event, errno, state, grant, self.until))

    @property
    def until(self) -> int:
        return self.told.log.now + LEASE_NS

    def answer(self) -> None:
        if self.answers:
            self.say(self.answers[0])
            if self.maybe():
                del self.answers[0]

    def news(self) -> None:
        """Of any event there ever was and any grant up to the next one."""
        self.told.log.now += self.random.choice((0, LEASE_NS // 3))
        event, grant = self.random.randint(0, self.events), self.random.randint(1, self.grants + 1)
        self.grants = max(self.grants, grant)
        news: list[AnyMessage] = [
            SchedIn(VCPU, 0, 0, self.random.choice((0, grant)), self.until),
            SchedOut(VCPU, 0),
            EventState(event, "ACTIVE", 0, grant, self.until),
            EventState(event, "INACTIVE", -1),
            EventState(event, "ERROR", 0),
            Revoke(event, grant, ""),
            Available(event, 0),
        ]
        self.say(self.random.choice((news[0], *news)))
