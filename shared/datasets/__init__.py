"""Data sets: the parser of MIAS, tables of films, synthetic films, splits by patient. Pure: no store, no queue."""
