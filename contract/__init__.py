"""The part that host perf core and KVM share: messages, session rules, designs, x86 facts, trace records."""
