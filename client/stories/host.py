"""The statements of a host and of user space in a random story."""

from __future__ import annotations

from random import Random

_WEIGHTS = {
    "open": 5,
    "sibling": 2,
    "close": 1,
    "switch": 1,
    "branch": 3,
    "run": 4,
    "idle": 1,
    "sample": 2,
    "advance": 2,
    "mux": 0.3,
    "mediate": 0.2,
    "user": 1,
    "debugger": 0.7,
    "migrate": 0.5,
}


class HostWriter:
    """``kvms``: KVM to the CPUs of its host. ``places``: vCPU to its KVM; migrations change it."""

    def __init__(self, rng: Random, kvms: dict[str, list[str]], places: dict[str, str]) -> None:
        self.rng = rng
        self.kvms = kvms
        self.places = places
        self.near = kvms["kvm0"]
        self.cpus = sorted({cpu for cpus in kvms.values() for cpu in cpus})
        self.opened: list[str] = []
        self.leaders: list[str] = []
        self.scopes: dict[str, str] = {}

    def steps(self) -> str:
        first = self.run(self.vcpu())
        steps = [self.debugger(0) if self.rng.random() < 0.15 else first]
        for n in range(1, self.rng.randint(3, 11)):
            kind = self.rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
            steps.append(self.step(kind, n))
        return " ".join([*steps, self.run(self.vcpu())])

    def step(self, kind: str, n: int) -> str:
        rng = self.rng
        match kind:
            case "open" if len(self.opened) < 4:
                return self.open(n)
            case "sibling" if self.leaders and len(self.opened) < 6:
                return self.sibling(n)
            case "close" if self.opened:
                closed = self.opened.pop(rng.randrange(len(self.opened)))
                self.leaders = [leader for leader in self.leaders if leader != closed]
                return f"host: close {closed};"
            case "switch" if self.opened:
                group = rng.choice(["", " group"])
                return f"host: {rng.choice(['enable', 'disable'])} {rng.choice(self.opened)}{group};"
            case "sample" if self.opened:
                return f"host: s{n} = sample {rng.choice(self.opened)};"
            case "run":
                return self.run(self.vcpu()) if rng.random() < 0.7 else f"host: run t0 on {rng.choice(self.near)};"
            case "idle":
                return f"host: idle {rng.choice(self.cpus)};"
            case "advance":
                return f"host: advance {rng.choice([1, 4, 12])}ms;"
            case "mux":
                return f"host: mx{n} = mux {rng.choice([1, 2, 8])}ms;"
            case "mediate":
                return f"host: md{n} = mediate; host: branch 2 on cpu0; host: mu{n} = unmediate;"
            case "user":
                return f"user: {self.user(n)}"
            case "debugger":
                return self.debugger(n)
            case "migrate" if self.kvms.get("kvm1", self.near) != self.near:
                return self.migrate(n)
        return f"host: branch {rng.choice([1, 3, 9])} {rng.choice(['jmp', 'call'])} on {rng.choice(self.cpus)};"

    def vcpu(self) -> str:
        return self.rng.choice(list(self.places))

    def run(self, vcpu: str) -> str:
        return f"host: run {vcpu} on {self.rng.choice(self.kvms[self.places[vcpu]])};"

    def open(self, n: int) -> str:
        rng = self.rng
        cpu = rng.choice(self.cpus)
        scope = rng.choice([cpu, cpu, cpu, "task t0", f"task {self.vcpu()}"])
        wanted = rng.choice(["any", "any_call", "call_stack", "call_stack user", "any user", "", "", "bts"])
        what = {"": "counter", "bts": "counter bts"}.get(wanted, f"branch {wanted}")
        extra = rng.choice(["", "", "", " exclusive", " disabled"])
        period = rng.choice(["", "", "", f" period {rng.randint(2, 9)}"]) if wanted != "bts" else ""
        self.opened.append(f"h{n}")
        self.leaders.append(f"h{n}")
        self.scopes[f"h{n}"] = scope
        return f"host: h{n} = open {scope} {rng.choice(['pinned', 'flexible'])} {what}{extra}{period};"

    def sibling(self, n: int) -> str:
        leader = self.rng.choice(self.leaders)
        what = self.rng.choice(["counter", "counter", "branch any", "branch any_call", "branch any disabled"])
        self.opened.append(f"h{n}")
        return f"host: h{n} = open {self.scopes[leader]} in {leader} {what};"

    def user(self, n: int) -> str:
        vcpu = self.vcpu()
        return self.rng.choice(
            [
                f"reset {vcpu};",
                f"stop_lbr {vcpu};",
                f"u{n} = get {vcpu} LBR_FROM[1];",
                f"u{n} = set {vcpu} DEBUGCTL, LBR;",
                f"u{n} = set {vcpu} DEBUGCTL, 0;",
                f"u{n} = set {vcpu} PERF_CAPABILITIES, 0;",
                f"u{n} = set {vcpu} PERF_CAPABILITIES, 0x2005;",
                f"u{n} = set {vcpu} LBR_SELECT, 4;",
                f"u{n} = set {vcpu} {{ DEBUGCTL, LBR; LBR_TOS, 2; PERF_CAPABILITIES, 0x2005; }};",
                f"u{n} = get {vcpu} LBR_TOS from t0;",
            ]
        )

    def debugger(self, n: int) -> str:
        """Another thread reaches the LBR of a guest, on the CPU of the guest or on another one."""
        vcpu, cpu = self.vcpu(), self.rng.choice(self.near)
        register = self.rng.choice(["LBR_TOS", "LBR_FROM[0]", "LBR_FROM[1]", "LBR_SELECT"])
        ioctl = self.rng.choice([f"get {vcpu} {register}", f"get {vcpu} {register}", f"set {vcpu} LBR_SELECT, 4"])
        return f"host: run t0 on {cpu}; user: u{n} = {ioctl} from t0; {self.run(vcpu)}"

    def migrate(self, n: int) -> str:
        vcpu = self.vcpu()
        target = next(kvm for kvm in self.kvms if kvm != self.places[vcpu])
        self.places[vcpu] = target
        way = self.rng.choice(["with", "with", "without"])
        return f"user: m{n} = migrate {vcpu} to {target} {way} lbr; {self.run(vcpu)}"
