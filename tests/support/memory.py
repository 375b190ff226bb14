"""Code for a process of its own, which counts what memory costs it."""

COUNT_FAULTS = """
import resource
import numpy as np
def use(): [np.ones(4 << 20, np.uint8) for _ in range(8)]
for _ in range(10): use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100): use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
"""Prints how many page faults a hundred rounds of eight arrays of 4 MB cost, after the first ten."""
