"""What the IAM policies of deploy/aws/policies allow, for requests as an S3 server gets them."""

import json
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qs

from shared.local.commands import ROOT

BUCKET = "arn:aws:s3:::example-mammostack"
POLICIES = ROOT / "deploy" / "aws" / "policies"


def statements(role: str) -> list[dict[str, Any]]:
    document = json.loads((POLICIES / f"{role}.json").read_text())
    return list(document["Statement"])


def allows(role: str, method: str, key: str, query: str) -> bool:
    """Whether a request is allowed; `key` is empty where it is of the bucket."""
    asked = parse_qs(query, keep_blank_values=True)
    action, prefix = _action(method, key, asked), asked.get("prefix", [""])[0]
    resource = f"{BUCKET}/{key}" if key else BUCKET
    return any(
        action in statement["Action"]
        and any(fnmatchcase(resource, pattern) for pattern in statement["Resource"])
        and any(fnmatchcase(prefix, like) for like in _prefixes(statement))
        for statement in statements(role)
    )


def _action(method: str, key: str, asked: dict[str, list[str]]) -> str:
    if not key:
        return "s3:ListBucketMultipartUploads" if "uploads" in asked else "s3:ListBucket"
    if method == "DELETE":
        return "s3:AbortMultipartUpload" if "uploadId" in asked else "s3:DeleteObject"
    return "s3:GetObject" if method in ("GET", "HEAD") else "s3:PutObject"


def _prefixes(statement: dict[str, Any]) -> list[str]:
    return list(statement.get("Condition", {}).get("StringLike", {}).get("s3:prefix", ["*"]))
