"""The inference service's entry point: gunicorn calls `application` in its worker process, after the fork."""

from flask import Flask

from services.inference.app import create_app
from shared.logs import configure_logs
from shared.settings import InferenceProcessSettings, read_settings


def application() -> Flask:
    """Read the settings, configure the logs and create the application."""
    settings = read_settings(InferenceProcessSettings)
    configure_logs(settings.log.level)
    return create_app(settings)
