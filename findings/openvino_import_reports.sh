#!/usr/bin/env bash
# openvino 2026.4.0 on Linux, in a home folder of its own, without the variable CI. Nothing leaves the machine: urllib
# is replaced before the import.
#
# Guess: to import a library sends nothing; what the converter (`ovc`) reports of its use begins when it converts.
# Seen: `import openvino` imports the converter, which sends an event to its maker's account of Google Analytics at
# once, and makes an id of this user, without a question; with CI=true it does neither, so that no test in CI sees it.
# If the package openvino_telemetry, which the wheel requires, can't be imported, OpenVINO works without it:
#   as it comes: 1 request to www.google-analytics.com, openvino_ga_cid stats
#   CI=true: 0 requests, nothing
#   without openvino_telemetry: 0 requests, nothing
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check openvino==2026.4.0
seen() {
  local home
  home=$(mktemp -d -p "$folder")
  env -i PATH="$PATH" HOME="$home" PYTHONPATH="$folder" "$1" "$folder/venv/bin/python" - "$2" <<'PYTHON'
import multiprocessing, sys, time, urllib.request
from pathlib import Path
from urllib.parse import urlsplit

asked = Path.home() / "asked"
def note(request, *_, **__):
    with asked.open("a") as file:
        file.write(urlsplit(request if isinstance(request, str) else request.full_url).hostname + "\n")
    raise OSError("not sent")
urllib.request.urlopen = note
if sys.argv[1] == "without":
    sys.modules["openvino_telemetry"] = None
import openvino
for child in multiprocessing.active_children():
    child.join(10)
time.sleep(2)
hosts = asked.read_text().split() if asked.exists() else []
asked.unlink(missing_ok=True)
written = sorted(path.name for path in Path.home().rglob("*") if path.is_file())
print(f"{len(hosts)} request{'s' * (len(hosts) != 1)}{' to ' + hosts[0] if hosts else ''}, {' '.join(written) or 'nothing'}")
PYTHON
}
plain=$(seen A=1 with) in_ci=$(seen CI=true with) without=$(seen A=1 without)
echo "as it comes: $plain"
echo "CI=true: $in_ci"
echo "without openvino_telemetry: $without"
[[ $plain == "1 request to www.google-analytics.com"*openvino_ga_cid* && $in_ci == "0 requests, nothing" && $without == "$in_ci" ]]
