"""A run in the formats of other tools, one format for each module. ``registry`` lists them."""
