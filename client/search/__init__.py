"""Search many schedules: the outcomes of one scenario, campaigns over many, and what tells two designs apart."""
