"""VMs, vCPUs, the guest's MSRs, passthrough and the entry path."""
