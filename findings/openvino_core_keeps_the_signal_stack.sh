#!/usr/bin/env bash
# openvino 2026.4.0 and numpy 2.2.6 on Linux x86-64.
#
# Guess: a core that has ended leaves nothing behind; two cores at a time don't know of each other.
# Seen: the first network that a core compiles for the CPU gives the calling thread an alternate signal stack
# (sigaltstack of POSIX); when the core ends, it puts back the stack from before. Cores that end in another order than
# the reverse of their making put back a stack that is gone: here the thread is left with the first core's, although
# no core exists any more. Python handles all its signals on that stack, so the process can't take a signal then.
# A service meets this when it loads a new model, and then ends the old one:
#   one core: as before
#   two cores, the first ends first: on a stack of 11568 bytes, which was not there before
# (11568 bytes is what a CPU with AVX-512 asks for.) One core for the life of the process avoids it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check openvino==2026.4.0 numpy==2.2.6
seen=$(CI=true "$folder/venv/bin/python" - <<'PYTHON'
import ctypes
import openvino
from openvino import opset13 as ops

class Stack(ctypes.Structure):
    _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))

def signal_stack():
    stack = Stack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack)) == 0
    return stack.address, stack.flags, stack.size

def core_and_network():
    core = openvino.Core()
    films = ops.parameter([1, 4])
    return core, core.compile_model(openvino.Model([ops.relu(films)], [films]), "CPU")

def told(before):
    after = signal_stack()
    return "as before" if after == before else f"on a stack of {after[2]} bytes, which was not there before"

before = signal_stack()
cores = [core_and_network()]
del cores[0]
print("one core:", told(before))
cores = [core_and_network(), core_and_network()]
del cores[0]
del cores[0]
print("two cores, the first ends first:", told(before))
PYTHON
)
echo "$seen"
[[ $seen == "one core: as before"*"two cores, the first ends first: on a stack of "*" bytes, which was not there before" ]]
