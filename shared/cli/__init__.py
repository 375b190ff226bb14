"""The command line `mammo`: `main` assembles it, `runs`, `models` and `serving` hold the commands."""
