"""How large a scenario may be, beside what ``contract.spec`` says of machines and time. They bound what hostile text
can cost, far above what any story needs."""

MAX_TEXT = 1 << 20
MAX_TOKENS = 200_000
MAX_STEPS = 10_000
MAX_NESTING = 64
MAX_EXECUTED = 20_000
"""Statements that one thread carries out, those of its loops counted each time."""
MAX_PURPOSE = 4096
MAX_NAME = 64

MAX_VCPUS = 16
MAX_KVMS = 8
MAX_BRANCHES = 1_000_000
MAX_PERIOD = (1 << 47) - 1
"""What perf lets a counter of 48 bits count up to."""

MAX_PORT = 0xFFFF
MAX_MSRS = 1024
"""Registers in a list of one ioctl; KVM takes 255."""
