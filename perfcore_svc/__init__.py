"""The host's side: the silicon, the perf core that runs on it, and its end of the contract."""
