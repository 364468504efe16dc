"""Playing a scenario: the wires to the two services, and the player that carries out the decisions."""
