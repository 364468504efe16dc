"""The end of a scenario: the final condition, and the verdicts that invariants are expected to have."""

from __future__ import annotations

import msgspec


class Reg(msgspec.Struct, tag=True, frozen=True):
    """``vm0/0:r0`` or a field of a structured value, ``host:s0.guest``."""

    actor: str
    register: str
    field: str = ""


class Invariant(msgspec.Struct, tag=True, frozen=True):
    """``invariant one-owner``: its value is ``held``, ``violated``, ``open`` or ``not-exercised``."""

    name: str


class Int(msgspec.Struct, tag=True, frozen=True):
    value: int


class Word(msgspec.Struct, tag=True, frozen=True):
    """A named value: ``#GP``, ``ACTIVE``, ``held``, ``EINVAL`` ..."""

    value: str


Term = Reg | Invariant | Int | Word


class Compare(msgspec.Struct, tag=True, frozen=True):
    """``left op right``, op one of = != < <= > >="""

    left: Term
    op: str
    right: Term


class Not(msgspec.Struct, tag=True, frozen=True):
    arg: Expr


class And(msgspec.Struct, tag=True, frozen=True):
    args: tuple[Expr, ...]


class Or(msgspec.Struct, tag=True, frozen=True):
    args: tuple[Expr, ...]


Expr = Compare | Not | And | Or


class Final(msgspec.Struct, frozen=True):
    """``quantifier`` is ``exists``, ``~exists`` or ``forall``. ``under`` names the designs that the condition applies
    to; all if it names none."""

    quantifier: str
    expr: Expr
    under: tuple[str, ...] = ()


class Expect(msgspec.Struct, frozen=True):
    """``expect violated no-loss, no-leak under v7, merged;``: the verdict that invariants must have, under these
    designs or all. An expected violation counts as success, and a missing one as a failure."""

    verdict: str
    invariants: tuple[str, ...]
    under: tuple[str, ...] = ()
