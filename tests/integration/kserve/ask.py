"""Asks a running service by kserve's own client, in an environment of its own: `ask.py URL NETWORK KEY FILM`.

Prints what it was told, as JSON.
"""

import asyncio
import json
import sys
from base64 import b64encode
from pathlib import Path

import httpx
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig


async def ask(url: str, network: str, key: str, film: bytes) -> dict[str, object]:
    headers = {"Authorization": f"Bearer {key}"}
    v1 = InferenceRESTClient(RESTConfig(protocol="v1"))
    v2 = InferenceRESTClient(RESTConfig(protocol="v2"))
    encoded = b64encode(film).decode()
    instances = {"instances": [{"image": {"b64": encoded}}]}
    request = InferRequest(
        model_name=network, infer_inputs=[InferInput("image", [1], "BYTES", [encoded], {"content_type": "base64"})]
    )
    answer = await v2.infer(url, request, headers=headers, model_name=network)
    try:
        await v2.infer(url, request, headers=headers, model_name="nobody")
        refused = "nothing"
    except httpx.HTTPStatusError as error:
        refused = str(error)
    return {
        "live": await v2.is_server_live(url, headers=headers),
        "ready": await v2.is_server_ready(url, headers=headers),
        "model_ready_v1": await v1.is_model_ready(url, network, headers=headers),
        "model_ready_v2": await v2.is_model_ready(url, network, headers=headers),
        "predictions": await v1.infer(url, instances, headers=headers, model_name=network),
        "explanations": await v1.explain(url, network, instances, headers=headers),
        "outputs": {output.name: output.data for output in answer.outputs},
        "refused": refused,
    }


if __name__ == "__main__":
    address, name, secret, path = sys.argv[1:]
    print(json.dumps(asyncio.run(ask(address, name, secret, Path(path).read_bytes()))))
