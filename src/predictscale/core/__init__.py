"""Frozen values and arithmetic.

Refuses I/O, clocks and logging: what an answer depends on is in its arguments.
"""
