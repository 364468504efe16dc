"""The report: one HTML file that shows runs without a network.

Python computes all data of the page; its script draws them.
"""
