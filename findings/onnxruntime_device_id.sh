#!/usr/bin/env bash
# onnxruntime 1.32.0 on Linux, in a home folder of its own, without the variable CI.
#
# Guess: to import a library writes nothing, and what it reports of its use begins with its first session, so that it
# can be switched off by a call behind the import.
# Seen: the import itself writes a device id, and a data base of what it would report, below the cache folder, unless
# ORT_DISABLE_TELEMETRY=1 is set before; with CI=true it writes nothing either, so that no test in CI sees it:
#   as it comes: .onnxruntime/deviceid, .onnxruntime/onnxruntime.db
#   CI=true: nothing
#   ORT_DISABLE_TELEMETRY=1: nothing
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnxruntime==1.32.0
written() {
  local home
  home=$(mktemp -d -p "$folder")
  env -i PATH="$PATH" HOME="$home" XDG_CACHE_HOME="$home" "$@" "$folder/venv/bin/python" -c 'import onnxruntime'
  (cd "$home" && find . -type f | sed 's#.*/\(\.onnxruntime/\)#\1#' | sort | paste -sd, | sed 's/,/, /g')
}
plain=$(written) in_ci=$(written CI=true) switched_off=$(written ORT_DISABLE_TELEMETRY=1)
echo "as it comes: ${plain:-nothing}"
echo "CI=true: ${in_ci:-nothing}"
echo "ORT_DISABLE_TELEMETRY=1: ${switched_off:-nothing}"
[[ $plain == *deviceid* && -z $in_ci && -z $switched_off ]]
