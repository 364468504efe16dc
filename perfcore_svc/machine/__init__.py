"""The silicon: CPUs, MSRs, the LBR, VMX. Physics only; nothing here knows perf or KVM."""
