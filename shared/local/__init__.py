"""All services on one machine without containers, as processes.

`broker` finds and configures a Redis or Valkey server, `processes` starts and stops processes so that none is left
running, `stack` combines the services.
"""
