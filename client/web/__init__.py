"""The page that plays runs: a small server on the loopback interface, and the form that it serves."""
