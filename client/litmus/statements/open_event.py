"""``open`` with all its options. Each option may be given once."""

from __future__ import annotations

from typing import ClassVar, cast

from lark import Token, Tree

from client.litmus.checking import StmtCheck
from client.litmus.execution import Execution
from client.litmus.expression import Constant
from client.litmus.limits import MAX_PERIOD
from client.litmus.reading import Reading
from client.litmus.spelling import listed, quote, unknown
from client.litmus.statements.statement import Examples, HostStmt, ResultKind, Rules
from client.litmus.tree import tokens
from contract.control import Open
from perfcore_svc.perf.branch_filter import BRANCH_FILTERS
from perfcore_svc.perf.event import TRACERS
from perfcore_svc.perf.pmu import FIXED_EVENTS

GENERAL = "general"
"""The event that any general counter can count."""
BRANCH_CONFIGS = (GENERAL, *FIXED_EVENTS)
"""The counted event of an event with a branch stack: any general counter can count it, or also a fixed one."""
CONFIGS = (*BRANCH_CONFIGS, *TRACERS)
"""The event that is counted, or the tracer."""

_PRIVILEGES = (("user",), ("kernel",), ("user", "kernel"))


class OpenEvent(HostStmt, frozen=True):
    """``h0 = open cpu0 pinned branch any user;`` / ``h1 = open task t0 on cpu1 flexible disabled counter cycles;``

    ``cpu`` -1 and a task: follows the task. ``branch`` empty: ``counter``. ``privilege``: user, kernel or both.

    ``group``, ``in g0``: the event joins the group of ``g0``, which the same actor opened. CPU and task are written out
    as for any event. If they differ from the leader's, or if the sibling is ``pinned`` or ``exclusive``, the kernel
    answers EINVAL. ``exclusive``: the group is on alone or not at all.

    ``config``, ``counter cycles`` or ``branch any counting cycles``: the counted event. ``general`` is the default and
    takes a general counter. instructions, cycles and ref-cycles may take their fixed counter. The tracers bts and pt
    take no counter, and allow no branch filter. ``period 100``: an overflow, and a sample, every 100 branches (0:
    none).

    ``exclude_host``, ``exclude_guest``, ``exclude_user``, ``exclude_kernel``: levels and modes that are not counted. A
    branch filter without a level has the levels that are not excluded.

    In a loop the register names the event that was opened last; the earlier events stay open.

    The register ends as two fields: ``.state``, ACTIVE, INACTIVE, OFF, ERROR or CLOSED, or the errno of an open that
    failed; ``.samples``, the number of samples that overflows took."""

    rules: ClassVar[Rules] = {
        "open": 'OPEN (CPU | "task" _task on_cpu?) (_flag | join | filters | counter | counting | period)*'
    }
    parts: ClassVar[Rules] = {
        "_flag": "PINNED | FLEXIBLE | EXCLUSIVE | DISABLED | EXCLUDE_GUEST | EXCLUDE_HOST | EXCLUDE_USER"
        " | EXCLUDE_KERNEL | USER | KERNEL",
        "join": "IN WORD",
        "filters": 'BRANCH WORD ("," WORD)*',
        "counter": "COUNTER WORD?",
        "counting": "COUNTING WORD",
        "period": "PERIOD (NUMBER | WORD)",
    }
    examples: ClassVar[Examples] = (
        (
            "h = open cpu0 pinned branch any;",
            "perf_event_open of an LBR event; in a loop each open makes a new event, and h is the newest",
        ),
        (
            "c = open task t0 on cpu0 flexible exclusive counter cycles user period 100 exclude_guest disabled;",
            "an event that follows a task; period: a PMI takes a sample every 100 branches",
        ),
        (
            "b = open cpu0 branch call, any_return counting instructions kernel;",
            "an LBR event that counts instructions",
        ),
        ("g = open cpu0 in h counter;", "a sibling in the group of h"),
        ("k = open cpu0 counter exclude_host exclude_user;", "an event that counts only the guest's kernel"),
        ("m = open cpu0 counter exclude_kernel;", "an event that counts only user level; the word user does the same"),
    )
    result = ResultKind.EVENT
    fields = ("state", "samples")

    register: str
    cpu: int = -1
    task: str = ""
    pinned: bool = False
    branch: tuple[str, ...] = ()
    privilege: tuple[str, ...] = ("user", "kernel")
    disabled: bool = False
    group: str = ""
    exclusive: bool = False
    config: str = GENERAL
    exclude_guest: bool = False
    period: Constant = 0
    exclude_host: bool = False
    exclude_user: bool = False
    exclude_kernel: bool = False

    @property
    def usual_privilege(self) -> tuple[str, ...]:
        """The levels of an event that names no level."""
        excluded = {"user": self.exclude_user, "kernel": self.exclude_kernel}
        return tuple(level for level in excluded if not excluded[level])

    @staticmethod
    def read(at: Reading) -> OpenEvent:
        return _Options(at).read()

    def action(self) -> str:
        target = f"task {self.task}" if self.task else f"cpu{self.cpu}"
        if self.task and self.cpu >= 0:
            target += f" on cpu{self.cpu}"
        if self.group:
            target += f" in {self.group}"
        other = self.config != GENERAL
        options = (
            ("pinned", self.pinned),
            # A sibling's class is its leader's.
            ("flexible", not self.pinned and not self.group),
            ("exclusive", self.exclusive),
            ("branch " + ", ".join(self.branch), bool(self.branch)),
            ("counter", not self.branch),
            ("counting", bool(self.branch) and other),
            (self.config, other),
            (" ".join(self.privilege), self.privilege != self.usual_privilege),
            ("exclude_host", self.exclude_host),
            ("exclude_guest", self.exclude_guest),
            ("exclude_user", self.exclude_user),
            ("exclude_kernel", self.exclude_kernel),
            (f"period {self.period}", self.period),
            ("disabled", self.disabled),
        )
        return " ".join(["open", target, *(text for text, said in options if said)])

    def check(self, at: StmtCheck) -> None:
        if not self.register:
            at.fail("open needs a register to name the event: 'h0 = open ...'")
        if self.task:
            at.task(self.task)
        if not self.task or self.cpu != -1:
            at.cpu(self.cpu)
        for i, name in enumerate(self.branch):
            at.member("branch filter", name, BRANCH_FILTERS, "branch", i)
            if name in self.branch[:i]:
                at.fail(f"branch filter {quote(name)} is named twice", "branch", i)
        self._check_levels(at)
        at.member("counted event", self.config, CONFIGS, "config")
        if self.branch and self.config not in BRANCH_CONFIGS:
            at.fail(f"{quote(self.config)} has no branch stack, expected {listed(BRANCH_CONFIGS)}", "config")
        period = at.constant(self.period, "period")
        if not (0 if self.period == 0 else 1) <= period <= MAX_PERIOD:
            at.fail(f"period = {period} is impossible, expected 1 to {MAX_PERIOD}", "period")
        if self.config in TRACERS:
            self._check_tracer(at)
        if self.group:
            at.event(self.group, "group")
        at.scope.closed.discard((at.actor, self.register))

    def _check_levels(self, at: StmtCheck) -> None:
        """Check that each named level can be recorded or counted. An event with only a counter may exclude both
        levels."""
        if self.privilege not in _PRIVILEGES and (self.branch or self.privilege != self.usual_privilege):
            at.fail("an event's privilege is user, kernel, or user and kernel", "privilege")
        excluded = [level for level in self.privilege if level not in self.usual_privilege]
        if excluded and not self.branch:
            at.fail(f"a counter of {quote(excluded[0])} with 'exclude_{excluded[0]}' contradicts itself")

    def _check_tracer(self, at: StmtCheck) -> None:
        """Refuse options that a tracer does not have. A tracer excludes other users of the LBR and records nothing
        here, so options about its records have no meaning."""
        idle = {
            "period": self.period,
            "exclude_host": self.exclude_host,
            "exclude_guest": self.exclude_guest and self.config != "bts",
            "exclude_user": self.exclude_user,
            "exclude_kernel": self.exclude_kernel,
            listed(self.privilege or ("user",)): self.privilege != self.usual_privilege,
        }
        if said := [word for word, given in idle.items() if given]:
            at.fail(f"{quote(said[0])} has no effect on {quote(self.config)}, which records nothing here")

    def command(self, at: Execution) -> Open:
        return Open(
            at.event(self.register),
            cpu=self.cpu,
            task=self.task,
            pinned=self.pinned,
            branch=list(self.branch),
            privilege=list(self.privilege),
            disabled=self.disabled,
            group=at.event(self.group) if self.group else "",
            exclusive=self.exclusive,
            config=self.config,
            exclude_guest=self.exclude_guest,
            period=at.number(self.period),
            exclude_host=self.exclude_host,
            exclude_user=self.exclude_user,
            exclude_kernel=self.exclude_kernel,
        )


# The field that each option sets; other options set the field of the same name.
_SLOTS = {
    "pinned": ("class",),
    "flexible": ("class",),
    "branch": ("stack",),
    "counter": ("stack", "config"),
    "counting": ("config",),
}
_WORDS = (
    *("pinned", "flexible", "exclusive", "disabled", "branch", "counter", "counting"),
    *("user", "kernel", "exclude_host", "exclude_guest", "exclude_user", "exclude_kernel", "period", "in"),
)


class _Options:
    def __init__(self, at: Reading) -> None:
        self.at = at
        self.filters: tuple[str, ...] = ()
        self.config = GENERAL
        self.group = ""
        self.period: Constant = 0

    def read(self) -> OpenEvent:
        verb, target, *options = self.at.node.children
        target = cast(Token, target)
        cpu, task = -1, ""
        if target.type == "CPU":
            cpu = self.at.cpu(target)
        else:
            task = self.at.mark(target, "task")
            first = options[0] if options else None
            if isinstance(first, Tree) and first.data == "on_cpu":
                cpu = self.at.cpu(tokens(first)[0])
                options.remove(first)
        seen: dict[str, Token] = {}
        for option in options:
            word, *rest = [option] if isinstance(option, Token) else tokens(option)
            for slot in _SLOTS.get(word, (str(word),)):
                if slot in seen:
                    self.at.fail(word, f"{quote(word)} after {quote(seen[slot])}")
                seen[slot] = word
            self.option(word, rest)
        if "stack" not in seen:
            self.at.fail(cast(Token, verb), "open needs 'branch' with its filters, or 'counter'")
        return OpenEvent(
            self.at.register,
            cpu,
            task,
            pinned=seen.get("class") == "pinned",
            branch=self.filters,
            privilege=self.levels(seen),
            disabled="disabled" in seen,
            group=self.group,
            exclusive="exclusive" in seen,
            config=self.config,
            exclude_guest="exclude_guest" in seen,
            period=self.period,
            exclude_host="exclude_host" in seen,
            exclude_user="exclude_user" in seen,
            exclude_kernel="exclude_kernel" in seen,
        )

    def levels(self, seen: dict[str, Token]) -> tuple[str, ...]:
        """The named levels, else those that are not excluded."""
        named = tuple(level for level in ("user", "kernel") if level in seen)
        return named or tuple(level for level in ("user", "kernel") if f"exclude_{level}" not in seen)

    def option(self, word: Token, rest: list[Token]) -> None:
        match word.type:
            case "IN":
                self.group = self.at.mark(rest[0], "group")
            case "BRANCH":
                for token in rest:
                    if token not in BRANCH_FILTERS:
                        self.at.fail(token, unknown("branch filter", token, (*BRANCH_FILTERS, *_WORDS)))
                self.filters = tuple(self.at.mark(token, "branch", i) for i, token in enumerate(rest))
            case "COUNTER" if rest:
                self.config = self.counted(rest[0], CONFIGS)
            case "COUNTING":
                self.config = self.counted(rest[0], BRANCH_CONFIGS)
            case "PERIOD":
                self.period = self.at.constant(rest[0], "period")
                if not self.period:
                    self.at.fail(rest[0], f"period = 0 is impossible, expected 1 to {MAX_PERIOD}")

    def counted(self, token: Token, known: tuple[str, ...]) -> str:
        if token not in CONFIGS:
            self.at.fail(token, unknown("counted event", token, (*known, *_WORDS)))
        return self.at.mark(token, "config")
