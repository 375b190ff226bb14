"""What a route asks of the key that comes with a request. A route that says nothing needs the scope `predict`."""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, g, request

from services.inference.admission.auth import Access
from shared.api.keys import Scope

View = TypeVar("View", bound=Callable[..., Any])


def needs(scope: Scope | None) -> Callable[[View], View]:
    """Marks the function of a route: keys need `scope`; None lets everybody in, without a key."""

    def mark(view: View) -> View:
        view.needs = scope  # type: ignore[attr-defined]
        return view

    return mark


def scope_of(view: Callable[..., Any]) -> Scope | None:
    """The scope that a route's function needs; None lets everybody in."""
    return getattr(view, "needs", "predict")


def guard(app: Flask, access: Access) -> None:
    """Lets a request in before its body is read, and notes when it has been answered."""

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
