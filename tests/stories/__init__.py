"""Random stories: hosts and guests that want the LBR at the same time, and the invariants that a design claims."""
