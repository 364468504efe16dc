"""The host perf core: events, contexts, the walk that puts events on a CPU, and the Intel LBR driver."""
