"""The player: one run of a scenario under a design, on any wire, with a strategy that decides.

It is the only caller of the wire, one call at a time; because of that, and of the clock in every call, both wires give
the same trace. Its knowledge of the services follows from the effects of these calls (``PlayerState``).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, TypeVar, TypeVarTuple

from client.drive.host_commands import carry_out_on_host
from client.drive.incidents import Incidents
from client.drive.lives import Lives
from client.drive.obstacles import Obstacles
from client.drive.program import Program
from client.drive.registers import Registers
from client.drive.state import PlayerState, Thread
from client.drive.values import Value, event_value, host_value, read_value, stack_value
from client.drive.wire import Layout, Wire
from client.litmus.arithmetic import NoNumberError
from client.litmus.ast import (
    DONE,
    FAULT,
    SKIPPED,
    AdvanceTime,
    AnyStmt,
    Block,
    GuestPmis,
    GuestReadLbr,
    GuestStmt,
    HostStmt,
    LitmusStep,
    OpenEvent,
    ResultKind,
    Scenario,
    StateOf,
    UserMigrate,
    UserStmt,
)
from client.litmus.execution import Execution
from client.schedule.decisions import Decision, Deliver, Fire, Pass
from client.schedule.decisions import Step as ThreadStep
from client.schedule.incidents import Crash, Kill, Outage, Restart, Shutdown
from client.schedule.strategies import Strategy
from contract.actors import actor_table
from contract.control import (
    Advance,
    CloseVcpu,
    ConfigureKvm,
    ConfigurePerf,
    FireHostTimer,
    FireKvmTimer,
    KvmSnapshot,
    LoadVcpu,
    PerfSnapshot,
    SaveVcpu,
    StepVcpu,
    StopLbr,
)
from contract.design import Design
from contract.effects import StepResult
from contract.errors import PeerContractError, RefusedError, SystemFailedError
from contract.machine import AnyOp
from contract.messages import HOST
from contract.network import CAPACITY
from contract.results import IN_PROGRESS, KvmView, PerfView, Stepped, VcpuSaved
from contract.spec import machine_model
from contract.trace import End, Outcome, Rest, Setup, Statement

Given = TypeVarTuple("Given")
T = TypeVar("T")


class InterruptedRunError(SystemFailedError):
    """Ctrl-C ended the run."""

    def __init__(self) -> None:
        super().__init__("lbrlab", "interrupted")


def layout_of(scenario: Scenario) -> Layout:
    """The services that a scenario takes."""
    return Layout(len(scenario.hosts) + 1, scenario.placement())


class Player:
    """``state`` is all its state. ``model``: the LBR of the machines. ``kvms``: the KVMs that have a VM, with the
    numbers of their hosts. ``tape``: the decisions so far."""

    def __init__(
        self, wire: Wire, scenario: Scenario, design: Design, strategy: Strategy, state: PlayerState | None = None
    ) -> None:
        self.wire = wire
        self.scenario = scenario
        self.design = design
        self.strategy = strategy
        self.state = state or PlayerState(Registers(scenario.lets))
        self.flight = self.state.flight
        self.names = self.state.names
        self.threads = self.state.threads
        self.places = self.state.places
        self.layout = layout_of(scenario)
        self.kvms = {kvm: host for kvm, host in self.layout.kvms.items() if scenario.vms_at(kvm)}
        self.model = machine_model(scenario.machine)
        self.tape: list[Decision] = []
        self.lives = Lives(self)
        self.incidents = Incidents(wire, self.flight, self.ask)
        self.obstacle = Obstacles(self).of
        self._executions: dict[str, Execution] = {}

    def play(self) -> SystemFailedError | None:
        """Play to the end, or until a service fails or Ctrl-C comes: the failure is returned. ``tape`` and the log of
        the wire hold the run up to that point.

        Raises InputError if the strategy or the scenario asks for something impossible."""
        try:
            self.begin()
            while (decision := self._next()) is not None:
                self.carry_out(decision)
            self.rest()
        except SystemFailedError as error:
            return error
        except PeerContractError as error:
            return SystemFailedError("contract", str(error))
        except KeyboardInterrupt:
            return InterruptedRunError()
        return None

    def begin(self) -> None:
        """Configure the services; each thread stands before its first statement."""
        scenario, wire = self.scenario, self.wire
        vcpus, machines, kvms = scenario.vcpus(), scenario.machines(), self.kvms
        for vm in scenario.vms:
            for name in vm.vcpu_names():
                self._place(name, scenario.home(vm.name))
        self.threads.update({block.name: Thread(self._program(block)) for block in scenario.blocks})
        actors = actor_table(scenario.tasks, vcpus)
        wire.begin(self.layout)
        setup = Setup(
            scenario.name,
            self.design.name,
            self.design.axes(),
            self.model.name,
            self.model.depth,
            sum(machine.cpus for machine in machines),
            actors,
            vcpus,
            [machine.cpus for machine in machines],
            kvms,
        )
        wire.log.add(setup)
        self.flight.follow([setup])
        for host, machine in enumerate(machines):
            self.ask(wire.perf, ConfigurePerf(machine, self.design, scenario.tasks, vcpus), host)
        for kvm, host in kvms.items():
            self.ask(wire.kvm, kvm, ConfigureKvm(kvm, machines[host], self.design, scenario.vms_at(kvm)))
        for thread in self.threads.values():
            self.record(thread.program.settle())

    def _next(self) -> Decision | None:
        """A loss of a link that has happened by itself, or the next decision of the strategy."""
        return self.incidents.happened() or self.choose()

    def choose(self) -> Decision | None:
        """The next decision of the strategy; None at the end. No run ends while a service is down."""
        self.flight.record = self.wire.log.records[-1].seq  # The player writes records, too.
        decision = self.strategy.choose(self.flight, self.ready(), list(self.threads))
        return self.lives.due() if decision is None else decision

    def ready(self) -> list[str]:
        """The threads that can step now, in the order of their blocks."""
        obstacle = self.obstacle
        return [name for name in self.threads if not obstacle(name)]

    def carry_out(self, decision: Decision) -> None:
        """Raises SystemFailedError if a core refuses a decision that is possible by what it has said."""
        self.tape.append(decision)
        try:
            _CARRY_OUT[type(decision)](self, decision)
        except RefusedError as error:
            raise SystemFailedError(self._service_of(decision), f"{decision}: {error}") from error
        flight = self.flight
        if flight.outages.homeless:
            self.lives.settle()
        if flight.outages.cut:
            self.incidents.lose_what_was_sent()
        if flight.messages > CAPACITY:
            self._check_credits()

    def ask(self, call: Callable[[*Given], StepResult[T]], *given: *Given) -> T:
        """Make one call of the wire, and take in the effects of the services. Raises RefusedError like the call."""
        try:
            step = call(*given)
        except RefusedError as refused:
            self.flight.follow(refused.effects)
            raise
        self.flight.now = step.now
        if step.effects:
            self.flight.follow(step.effects)
        return step.result

    def _service_of(self, decision: Decision) -> str:
        """The service that carries a decision out, as its messages name it."""
        match decision:
            case Deliver(receiver=receiver):
                return receiver
            case Fire(session=session, to_host=True):
                return session
            case ThreadStep(thread=thread) if step := self.threads[thread].program.current:
                return self.places.get(step.actor, HOST)
        return HOST

    def record(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            self.wire.log.add(outcome)

    def _program(self, block: Block) -> Program:
        scenario = self.scenario.file or self.scenario.name
        return Program(block, scenario, self.state.registers, self.model.depth)

    def _place(self, vcpu: str, kvm: str) -> None:
        self.places[vcpu] = kvm
        self.flight.places[vcpu] = self.layout.kvms[kvm]

    def _deliver(self, d: Deliver) -> None:
        if not self.ask(self.wire.decide, d.receiver, d.fate, d.session, d.n, d.fault, d.field):
            self.tape.pop()

    def _pass(self, decision: Pass) -> None:
        carry_out_on_host(self, Advance(decision.time - self.flight.now))

    def _step(self, decision: ThreadStep) -> None:
        thread = self.threads[decision.thread]
        step = thread.program.current
        assert step is not None
        if not thread.running:
            if isinstance(step.stmt, OpenEvent):
                self.names.open(step.actor, step.stmt.register)
            self.wire.log.add(Statement(decision.thread, step.actor, _text_of(step.stmt), step.printed))
        if isinstance(step.stmt, GuestStmt):
            self._guest_step(thread, step)
        else:
            thread.running = True
            if self._advance(thread, step.stmt) if isinstance(step.stmt, AdvanceTime) else self._host_step(step):
                self.record(thread.done())

    def _fire(self, fire: Fire) -> None:
        """Raises PeerContractError if the service forgets that the timer ran out; otherwise the run would never end."""
        key = fire.session, fire.to_host, fire.timer
        due = self.flight.timers[key].due
        if due > self.flight.now:
            carry_out_on_host(self, Advance(due - self.flight.now))
        if fire.to_host:
            self.ask(self.wire.kvm, fire.session, FireKvmTimer(fire.timer))
        else:
            self.ask(self.wire.perf, FireHostTimer(fire.session, fire.timer), self.kvms[fire.session])
        if key in self.flight.timers and self.flight.timers[key].due <= self.flight.now:
            raise PeerContractError(f"{fire}: it ran out, and is due still")

    def _check_credits(self) -> None:
        """End the run in the same way on either wire, although their inboxes overflow at different moments."""
        fullest = max(self.flight.queues.values(), key=len, default=[])
        if len(fullest) > CAPACITY:
            sender = fullest[0].session if fullest[0].to_host else HOST
            raise PeerContractError(f"{sender} has more than {CAPACITY} messages waiting")

    # Host and user space ---------------------------------------------------------------------------------

    def _advance(self, thread: Thread, stmt: AdvanceTime) -> bool:
        """Advance the time. Time stops at each due timer of a service, so that the timer can fire at its time."""
        now = self.flight.now
        thread.done_at = thread.done_at or now + stmt.ns
        stops = [timer.due for timer in self.flight.armed() if now < timer.due < thread.done_at]
        to = min(stops, default=thread.done_at)
        if to > now:
            carry_out_on_host(self, Advance(to - now))
        return to >= thread.done_at

    def _host_step(self, step: LitmusStep) -> bool:
        """Whether the statement is done; an ioctl that waits for the host is not."""
        stmt = step.stmt
        try:
            value = self._value(stmt, step.actor)
        except RefusedError as error:
            value = error.errno
        if value == IN_PROGRESS.errno:
            return False
        if isinstance(stmt, OpenEvent):
            self.flight.forget(self.names.done(step.actor, stmt.register))
            if isinstance(value, str):
                self.set_register(step.actor, stmt.register, event_value(value))
            return True
        if stmt.result is ResultKind.WORD and value == 0:
            value = DONE
        if (register := stmt.sets) or (isinstance(value, str) and value != DONE):
            self.set_register(step.actor, register, value)
        return True

    def _value(self, stmt: AnyStmt, actor: str) -> Value:
        """The result of a statement of the host or of user space, from its command or from the driver itself."""
        if answer := _ANSWERS.get(type(stmt)):
            return answer(self, stmt, actor)
        if isinstance(stmt, HostStmt):
            return host_value(carry_out_on_host(self, stmt.command(self.execution(actor))))
        assert isinstance(stmt, UserStmt)
        try:
            command = stmt.command(self.execution(actor))
        except NoNumberError:
            return SKIPPED
        return host_value(self.ask(self.wire.kvm, self.places[stmt.vcpu], command))

    def execution(self, actor: str) -> Execution:
        if actor not in self._executions:
            event_name = partial(self.names.of, actor)
            self._executions[actor] = Execution(self.model, self.state.registers.of(actor), event_name)
        return self._executions[actor]

    def _state(self, stmt: StateOf, actor: str) -> Value:
        return self.flight.state_of(self.names.of(actor, stmt.event), stmt.vcpu)

    def _migrate(self, stmt: UserMigrate, actor: str) -> Value:
        """Carry out a migration as user space does. The source's VM is torn down only after the target has taken
        over."""
        source = self.places[stmt.vcpu]
        if source == stmt.kvm:
            return "EALREADY"
        saved = self.ask(self.wire.kvm, source, SaveVcpu(stmt.vcpu, stmt.lbr))
        assert isinstance(saved, VcpuSaved)
        self.ask(self.wire.kvm, stmt.kvm, LoadVcpu(stmt.vcpu, saved.image))
        self._place(stmt.vcpu, stmt.kvm)
        self.ask(self.wire.kvm, source, StopLbr(stmt.vcpu))
        self.ask(self.wire.kvm, source, CloseVcpu(stmt.vcpu))
        return DONE

    # Guest -----------------------------------------------------------------------------------------------

    def _guest_step(self, thread: Thread, step: LitmusStep) -> None:
        ops: list[AnyOp] = []
        if not thread.running:
            assert isinstance(step.stmt, GuestStmt)
            try:
                ops = step.stmt.ops(self.execution(step.actor))
            except NoNumberError:
                self.set_register(step.actor, step.stmt.sets, SKIPPED)
                self.record(thread.done())
                return
        result = self.ask(self.wire.kvm, self.places[step.actor], StepVcpu(step.actor, ops))
        assert isinstance(result, Stepped)
        thread.running = not result.finished
        if result.finished:
            self._guest_outcome(step, result)
            self.record(thread.done())

    def _guest_outcome(self, step: LitmusStep, result: Stepped) -> None:
        stmt = step.stmt
        value: Value
        if isinstance(stmt, GuestReadLbr):
            actors = actor_table(self.scenario.tasks, self.scenario.vcpus())
            value = stack_value(result.values, actors.index(step.actor))
        elif isinstance(stmt, GuestPmis):
            value = self.flight.pmis.get(step.actor, 0)
        else:
            value = read_value(result.values[0])
            if stmt.result is ResultKind.WORD and value != FAULT:
                value = DONE
        if stmt.sets or value == FAULT:
            self.set_register(step.actor, stmt.sets, value)

    def set_register(self, actor: str, register: str, value: Value) -> None:
        """Record the result of a statement. ``register``: "" if it has none."""
        if register:
            self.state.registers.put(actor, register, value)
        self.wire.log.add(Outcome(actor, register, value))

    # The end ---------------------------------------------------------------------------------------------

    def rest(self) -> None:
        """Record the rest: final states of events, unfinished statements, both sides' views. A run that ends at
        ``FIRED_LIMIT`` is not at rest: its messages are still to be sent again."""
        for (actor, register), name in self.names.opened.items():
            if name in self.flight.events:
                self.set_register(actor, register, event_value(self.flight.events[name], self.flight.samples[name]))
        undone = {name: self.obstacle(name) for name in self.threads}
        self.wire.log.add(End({name: why for name, why in undone.items() if why != "finished"}))
        if any(timer.awaited for timer in self.flight.armed()):
            return
        hosts = [self.ask(self.wire.perf, PerfSnapshot(), host) for host in range(len(self.scenario.hosts) + 1)]
        first, *others = [view for view in hosts if isinstance(view, PerfView)]
        kvms = [self.ask(self.wire.kvm, kvm, KvmSnapshot()) for kvm in self.kvms]
        self.wire.log.add(Rest(first, [view for view in kvms if isinstance(view, KvmView)], others))


_ANSWERS: dict[type, Callable[[Player, Any, str], Value]] = {StateOf: Player._state, UserMigrate: Player._migrate}
"""Statements that no single command carries out."""
_CARRY_OUT: dict[type, Callable[[Player, Any], None]] = {
    ThreadStep: Player._step,
    Deliver: Player._deliver,
    Fire: Player._fire,
    Pass: Player._pass,
    Crash: lambda player, decision: player.lives.crash(decision),
    Shutdown: lambda player, decision: player.lives.shut_down(decision),
    Restart: lambda player, decision: player.lives.restart(decision),
    Kill: lambda player, decision: player.lives.kill(decision),
    **dict.fromkeys(Outage.__args__, lambda player, decision: player.incidents.carry_out(decision)),
}


@lru_cache(maxsize=512)
def _text_of(stmt: AnyStmt) -> str:
    """The text of a statement, which is made once for all runs of a scenario."""
    return stmt.text()
