"""Playing a scenario: the wires that reach the two services, and the player that takes the decisions."""
