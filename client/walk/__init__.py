"""A run by hand: each open decision is taken on request, and every move can be undone."""
