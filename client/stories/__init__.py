"""Random scenarios: hosts and guests that want the LBR at the same time. A seed gives the same scenario each time."""
