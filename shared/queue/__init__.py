"""The queue: messages, Celery application, leases and claims, and the task loop of all workers."""
