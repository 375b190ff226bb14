"""Data sets: what a film is, the parser of MIAS, synthetic films, splits by patient. Pure: no store, no queue."""
