"""Every setting of the services, once. Help, documentation and ``--print-config`` come from this table.

The name of a setting gives its three forms: ``answer-timeout`` is the option ``--answer-timeout``, the variable
``$LBRLAB_ANSWER_TIMEOUT`` and the key ``answer-timeout`` of the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from contract.messages import PROTOCOL_VERSION
from contract.wire import limits
from contract.wire.lease import DRIVER_LEASE
from contract.wire.settings.kinds import ADDRESS, FLAG, FOLDER, NAME, TCP, Kind, choice, number, seconds

PERFCORE, KVM = "perfcore-svc", "kvm-svc"
SERVICES = PERFCORE, KVM
PREFIX = "LBRLAB_"
ANSWER_TIMEOUT = 3.0
"""Seconds that the perf core has to answer a machine request, and to be there when a run begins or continues after the
loss of a link."""

REDIAL_LIMIT = 0.5


@dataclass(frozen=True, slots=True)
class Setting:
    """``default``: None where the setting is off unless it is given; ``is_required`` where a service does not start
    without it. ``services``: those that have it. ``is_hidden``: for tests, in no help."""

    name: str
    kind: Kind
    default: Any
    help: str
    services: tuple[str, ...] = SERVICES
    is_required: bool = False
    is_hidden: bool = False

    @property
    def option(self) -> str:
        return f"--{self.name}"

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper().replace("-", "_")

    @property
    def attribute(self) -> str:
        """Its name in the namespace that ``configured`` gives."""
        return self.name.replace("-", "_")


TABLE: tuple[Setting, ...] = (
    Setting("listen", ADDRESS, "127.0.0.1:0", "address to serve at; port 0 takes a free one"),
    Setting("perfcore", ADDRESS, None, "address of the perf core", (KVM,), is_required=True),
    Setting("name", NAME, "kvm0", "name of this KVM and of its session", (KVM,)),
    Setting("tls", FOLDER, None, "use mutual TLS on TCP, with tls.crt, tls.key and ca.crt of this folder"),
    Setting("insecure", FLAG, False, "allow addresses that other hosts reach, without TLS"),
    Setting("lease", seconds(), DRIVER_LEASE, "how long a silent driver keeps it from others", (PERFCORE,)),
    Setting(
        "answer-timeout",
        seconds(),
        ANSWER_TIMEOUT,
        "how long the perf core may take to answer before the run fails",
        (KVM,),
    ),
    *(
        Setting(
            f"max-{limit.name}",
            number("N", limit.least, limit.most),
            limit.default,
            f"the most {limit.meaning}",
            (f"{limit.service}-svc",) if limit.service else SERVICES,
        )
        for limit in limits.table()
    ),
    Setting(
        "redial-limit",
        seconds(0.01, 3600),
        REDIAL_LIMIT,
        "longest wait between two attempts to reach the perf core; waits double up to it",
        (KVM,),
    ),
    Setting("metrics", TCP, None, "serve metrics for Prometheus at this address, over TLS where --tls is given"),
    Setting("health", TCP, None, "serve health alone at this address too, without TLS, for probes"),
    Setting("traces", TCP, None, "send spans to this OpenTelemetry collector (OTLP over gRPC); needs lbrlab[otel]"),
    Setting("log-format", choice("console", "json"), "console", "form of the lines on standard error"),
    Setting(
        "exit-with-parent",
        FLAG,
        False,
        "stop when standard input ends: no service outlives the program that started it",
    ),
    Setting("protocol", number("N", 1, (1 << 32) - 1), PROTOCOL_VERSION, "version to speak", is_hidden=True),
)


def of_service(service: str) -> list[Setting]:
    return [setting for setting in TABLE if service in setting.services]


CONFIG = PREFIX + "CONFIG"
VARIABLES = frozenset({CONFIG, *(setting.variable for setting in TABLE)})
"""The variables of the environment that a service reads."""
