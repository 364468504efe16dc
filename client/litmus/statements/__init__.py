"""The statements of the language: one class each, with everything that belongs to it.

A row has the operands as fields, and

- ``speaker``, who may say it, by its base class: HostStmt, GuestStmt, UserStmt, or ProgramStmt for anyone;
- ``rules``, its grammar, and ``read``, from the parse tree to the statement;
- ``action``, its text;
- ``check``, whether its operands are possible;
- ``command`` or ``ops``, the work for the perf core, KVM or the guest;
- the docstring and ``examples``, which are the reference of the language;
- ``result`` and ``fields``, what its register holds afterwards.

To add one, ``hlt`` of a guest for instance, takes four files:

1. ``client/litmus/statements/guest.py``: the class GuestHlt, and its name in ``AnyGuest``. That is all of the language:
   the parser, the printer, validation, ``lbrlab lang`` and the messages that list statements have it from there.
2. ``contract/machine.py``: the instruction Hlt with its exit reason, and its name in ``AnyOp``.
3. ``protos/lbrlab/v1/machine.proto``: the same as a message. The codec matches names.
4. ``kvm_svc/hypervisor/run.py``: what KVM does at this exit.

A statement for which the contract has a command already takes the first file only. One that the driver answers itself
(``state``, ``migrate``) has an entry in ``client/drive/play.py``.
"""

from __future__ import annotations

import re
from typing import get_args

from client.litmus.statements.guest import AnyGuest
from client.litmus.statements.host import AnyHost
from client.litmus.statements.program import AnyProgram
from client.litmus.statements.statement import Stmt
from client.litmus.statements.user import AnyUser

BY_SPEAKER: dict[str, tuple[type[Stmt], ...]] = {
    "host": get_args(AnyHost),
    "guest": get_args(AnyGuest),
    "user": get_args(AnyUser),
    "anyone": get_args(AnyProgram),
}
STATEMENTS: tuple[type[Stmt], ...] = tuple(kind for kinds in BY_SPEAKER.values() for kind in kinds)

_VERBS = re.compile(r"\(?([A-Z_]+(?: \| [A-Z_]+)*)")


def verbs_of(*speakers: str) -> list[str]:
    """The words that begin the statements of these speakers, without a register."""
    rules = [rule for speaker in speakers for kind in BY_SPEAKER[speaker] for rule in kind.rules.values()]
    begins = [found[1].split(" | ") for rule in rules if (found := _VERBS.match(rule))]
    return [*dict.fromkeys(verb.lower() for verbs in begins for verb in verbs)]


def statements_of(*speakers: str) -> list[str]:
    """The beginning of each statement of ``host``, ``guest`` or ``user``, after the ``=`` if it has one. Program
    statements come last."""
    return [*verbs_of(*speakers), *verbs_of("anyone"), "NAME = ..."]


def kind_of(rule: str, speaker: str) -> type[Stmt]:
    """The statement of a grammar rule. If several statements have the rule, that of the speaker, else the first."""
    kinds = [kind for kind in STATEMENTS if rule in kind.rules]
    return next((kind for kind in kinds if kind.speaker == speaker), kinds[0])
