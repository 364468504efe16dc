"""A run: its inputs, the one function that plays and judges it, its verdict, and its file."""
