"""The rules of the schema that a message breaks, in the words of protovalidate."""

from __future__ import annotations

import protovalidate
from google.protobuf.message import Message

SHOWN = 8
"""Violations that one error names."""


def violations(message: Message) -> str:
    """Field and rule of each violation, up to SHOWN of them; "" if the message keeps all rules."""
    found = []
    for violation in protovalidate.collect_violations(message)[:SHOWN]:
        path = ""
        for element in violation.proto.field.elements if violation.proto.field else ():
            path += f".{element.field_name}"
            if element.subscript is not None:
                path += f"[{element.subscript.value!r}]"
        found.append(f"{path.lstrip('.')}: {violation.proto.message}" if path else str(violation.proto.message))
    return "; ".join(found)
