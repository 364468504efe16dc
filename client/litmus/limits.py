"""How large a scenario may be, beside what ``contract.spec`` says of machines and time. They bound the cost of hostile
text, and lie far above the needs of any story."""

MAX_TEXT = 1 << 20
MAX_TOKENS = 100_000
MAX_STEPS = 10_000
MAX_NESTING = 64
MAX_EXECUTED = 20_000
"""The most statements that one thread carries out. Statements in loops count each time."""
MAX_PURPOSE = 4096
MAX_NAME = 64

MAX_VCPUS = 16
MAX_KVMS = 8
MAX_BRANCHES = 1_000_000
MAX_PERIOD = (1 << 47) - 1
"""The highest period that perf allows for a counter of 48 bits."""

MAX_PORT = 0xFFFF
MAX_MSRS = 1024
"""The most registers in the list of one ioctl; KVM takes 255."""
