"""The trace: an ordered list of typed records, the only thing that checkers and reports read.

``seq`` counts records from 1 without gaps over both services; ``time`` is virtual nanoseconds. Values of
registers are unsigned 64-bit integers. ``cpu`` is the lane a record belongs to.

The records stand in one file for each source. To add one takes three files: here its class, with its name in the union
of the file; its message in ``protos/lbrlab/v1/trace.proto``; its words in ``client/report/describe``.
"""

# ruff: noqa: F403

from contract.trace.driver import *
from contract.trace.kvm import *
from contract.trace.link import *
from contract.trace.perf import *
from contract.trace.record import *
from contract.trace.recorder import *
from contract.trace.records import *
from contract.trace.silicon import *
