"""`python -m shared.cli`."""

import signal

if __name__ == "__main__":
    # Ctrl-C while the command is still being imported ends it as it ends any program, without a trace.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

    from shared.cli.main import main

    main()
