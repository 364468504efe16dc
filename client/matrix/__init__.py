"""Every design against every scenario: the cells, their distribution over all cores, and their summary."""
