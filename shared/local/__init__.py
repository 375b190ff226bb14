"""All services on one machine without containers: a real broker, real workers and the inference service as processes.

`broker` finds and configures a Redis or Valkey server, `processes` starts and ends processes so that none is left
behind, `stack` puts the services together.
"""
