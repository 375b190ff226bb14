"""The command line `mammo`.

`main` assembles it; `runs`, `models`, `batches`, `keys`, `serving` and `augmenting` hold the commands.
"""
