"""`python -m services.gateway [status|retry|echo|send DIR]`: the gateway itself, or a command about it."""

import logging
import sys

from services.gateway.commands import COMMANDS
from services.gateway.service import serve
from shared.errors import MammoError
from shared.logs import configure_logs
from shared.settings import GatewayProcessSettings, read_settings


def main(arguments: list[str]) -> None:
    """Serve, or run a command; an error of ours ends it with one line."""
    try:
        settings = read_settings(GatewayProcessSettings)
        if not arguments:
            configure_logs(settings.log.level)
            serve(settings)
            return
        logging.disable(logging.ERROR)
        sys.exit(COMMANDS[arguments[0]](settings, arguments[1:]))
    except MammoError as error:
        raise SystemExit(f"mammostack: {error}") from None


if __name__ == "__main__":
    main(sys.argv[1:])
