"""The perf core as a process: its core behind gRPC."""
