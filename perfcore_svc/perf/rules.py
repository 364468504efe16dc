"""Where kernel versions differ, as data. Section numbers are of the perf core facts this model follows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KernelRules:
    """``pinned_failure_shuts_door`` (1.6, since v5.7): a pinned event that does not fit keeps every later pinned event
    of that walk off too. ``install_off_quietly`` (1.9, since v5.5): installing a disabled event reschedules nobody."""

    name: str
    pinned_failure_shuts_door: bool
    install_off_quietly: bool


KERNELS: dict[str, KernelRules] = {
    k.name: k
    for k in (
        KernelRules("v5.3", pinned_failure_shuts_door=False, install_off_quietly=False),
        KernelRules("v5.12", pinned_failure_shuts_door=True, install_off_quietly=True),
        KernelRules("v6.16", pinned_failure_shuts_door=True, install_off_quietly=True),
    )
}
