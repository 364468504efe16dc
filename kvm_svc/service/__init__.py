"""KVM as a process: its core behind gRPC."""
