"""KVM's side: the hypervisor and its end of the contract."""
