"""Authorisation of routes by API key; the default scope is `predict`."""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, g, request

from services.inference.admission.auth import Authenticator
from shared.api.keys import Scope

RouteFunction = TypeVar("RouteFunction", bound=Callable[..., Any])


def needs(scope: Scope | None) -> Callable[[RouteFunction], RouteFunction]:
    """Require a scope for a route's function; None makes the route public."""

    def mark(view: RouteFunction) -> RouteFunction:
        view.needs = scope  # type: ignore[attr-defined]
        return view

    return mark


def scope_of(view: Callable[..., Any]) -> Scope | None:
    """Return the scope that a route's function requires; None: the route is public."""
    return getattr(view, "needs", "predict")


def guard(app: Flask, access: Authenticator) -> None:
    """Authorise each request before its body is read; release its slot at the end."""

    @app.before_request
    def enter() -> None:
        view = app.view_functions.get(request.endpoint or "")
        scope = None if view is None else scope_of(view)
        if scope is not None:
            g.caller = access.enter(request.headers.get("Authorization"), scope)

    @app.teardown_request
    def leave(_error: BaseException | None) -> None:
        caller = g.pop("caller", None)
        if caller is not None:
            access.leave(caller)
