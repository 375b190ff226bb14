"""How an error is told: a problem document (RFC 9457)."""

from shared.api.answer import Answer, absent
from shared.api.predictions import GateAnswer


class Problem(Answer):
    """`title` is a code for programs, `detail` a line for a person."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str
    gate: GateAnswer | None = absent("with `not-a-mammogram`")


class ProtocolProblem(Problem):
    """On the paths of the foreign protocols, whose clients read `error`; it is `detail` once more."""

    error: str
