"""Records shared by all parts: films, lesions, classes.

Pure: imports only `shared.errors`.
"""
