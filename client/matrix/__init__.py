"""Every design against every scenario: one cell after another, on all cores, and what comes of it all together."""
