"""Errors over HTTP: problem documents (RFC 9457)."""

from shared.api.base import ResponseModel, absent
from shared.api.predictions import GateAnswer


class Problem(ResponseModel):
    """An error: `title` is a code for programs, `detail` a line for a person."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str
    gate: GateAnswer | None = absent("Result of the gate; present with `not-a-mammogram`")


class ProtocolProblem(Problem):
    """An error on paths of other protocols, whose clients read `error` (= `detail`)."""

    error: str
