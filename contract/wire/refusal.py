"""Trailing metadata of a refusal, from which the driver raises it again."""

ERRNO = "lbrlab-errno"
CLOCK = "lbrlab-clock"
NOW = "lbrlab-now"
