"""The tape: every decision of a run that was open, as data, as text, and as policies that make them."""
