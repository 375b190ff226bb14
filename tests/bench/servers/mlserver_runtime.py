"""MLServer: its HTTP process hands a request over a queue to a worker. `mlserver start` finds `Film` in a file."""

import json

from mlserver import MLModel
from mlserver.codecs import Base64Codec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

from tests.bench.servers import work


class Film(MLModel):  # type: ignore[misc]  # it is not in the environment of the checks
    async def load(self) -> bool:
        self.answer = work.load()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        (image,) = Base64Codec.decode_input(payload.inputs[0])
        output = StringCodec.encode_output("answer", [json.dumps(self.answer(image))])
        return InferenceResponse(model_name=self.name, outputs=[output])
