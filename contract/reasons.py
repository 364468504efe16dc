"""Reasons that a core writes into a trace and that other code compares."""

from __future__ import annotations

NO_PLACE = "the event list is full"
NO_LBR = "the LBR is another's"
NO_COUNTER = "no counter is free"
BEHIND = "it is behind one that did not fit"
NOT_ALONE = "it is exclusive and not alone"

NOT_THE_LBR = (NO_PLACE, NO_COUNTER, NOT_ALONE)
"""``why`` of EventChange and EventWaits if an event lacks something other than the LBR."""

END_OF_IOCTL = "the end of an ioctl"
"""``message`` of VcpuWait while the thread of a vCPU waits for an ioctl of user space, which has the mutex."""
