"""Records of the sessions in words."""

from __future__ import annotations

from client.litmus.text import duration_text
from client.report.describe.table import text_of
from client.report.describe.values import Values
from contract import trace as t
from contract.messages import AnyMessage

_HIDDEN = ("lbr", "debugctl", "kvm", "expires")
_USUAL = ("continues", False)
_FATES = {
    "take": "taken",
    "drop": "LOST",
    "duplicate": "taken, and stays",
    "overtake": "taken before older ones",
    "corrupt": "taken DAMAGED",
    "hold": "HELD, with all behind it",
    "release": "no longer held",
    "lose": "LOST with its link",
}


@text_of.register
def send(r: t.Send, values: Values) -> str:
    return f"{_way(r)} #{r.n} {body_text(r.body)}"


def body_text(body: AnyMessage) -> str:
    """A message with those of its fields that fit into a line."""
    shown = ((f, getattr(body, f)) for f in body.__struct_fields__)
    parts = [f"{f}={_word(v)}" for f, v in shown if f not in _HIDDEN and v not in ("", None) and (f, v) != _USUAL]
    return " ".join([type(body).__name__, *parts])


def _word(value: object) -> object:
    return ("no", "yes")[value] if isinstance(value, bool) else value


@text_of.register
def delivery(r: t.Delivery, values: Values) -> str:
    by = f", fault {r.fault}" if r.fault else ""
    field = f", another {r.field}" if r.field else ""
    return f"{_way(r)} #{r.n} {r.message}: {_FATES[r.fate]}{field}{by}"


@text_of.register
def timer(r: t.Timer, values: Values) -> str:
    return f"{_way(r)} timer {r.timer} {f'runs out at {duration_text(r.due)}' if r.due >= 0 else 'off'}"


@text_of.register
def session_change(r: t.SessionChange, values: Values) -> str:
    return f"session {r.session}, epoch {r.epoch}, at {_end(r)}: {r.old} -> {r.new}, {r.reason}"


@text_of.register
def window_change(r: t.WindowChange, values: Values) -> str:
    why = "pauses, the window is full" if r.paused else "continues, the window has room"
    return f"session {r.session}, epoch {r.epoch}: {_end(r)} {why}"


@text_of.register
def peer_silent(r: t.PeerSilent, values: Values) -> str:
    return f"session {r.session}, epoch {r.epoch}: {_end(r)} has no answer, the other end is silent"


@text_of.register
def discard(r: t.Discard, values: Values) -> str:
    return f"{_way(r)} #{r.n} {r.message}: discarded by {r.rule}, {r.reason}"


def _end(r: t.SessionChange | t.WindowChange | t.PeerSilent) -> str:
    return r.session if r.to_host else "host"


def _way(r: t.Send | t.Delivery | t.Discard | t.Timer) -> str:
    return f"{r.session}>host" if r.to_host else f"host>{r.session}"
