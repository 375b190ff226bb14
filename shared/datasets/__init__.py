"""Data sets: MIAS, tables of films, synthetic films, patient-wise splits.

Pure: no store, no queue.
"""
