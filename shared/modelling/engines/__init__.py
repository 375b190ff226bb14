"""Networks on the CPU: ONNX Runtime and OpenVINO behind one interface, for publishing and for serving.

Both libraries report their use to their makers by default. It is switched off here, before they are imported.
"""

import os
import sys

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # not to be imported: OpenVINO does without
