"""Commands of `./mammo`, run in this process."""

from typer.testing import CliRunner

from shared.cli.main import app


def mammo(*arguments: str) -> str:
    """Give what a command prints; raises what it raises."""
    result = CliRunner().invoke(app, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output
