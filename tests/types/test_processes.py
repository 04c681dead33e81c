from __future__ import annotations

import signal
import subprocess
import sys

WORKER = """
import time
from medtrim.types.processes import end_with_parent
end_with_parent(0.05)
print("working", flush=True)
time.sleep(120)
print("never told", flush=True)
"""
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"


def test_a_worker_ends_when_its_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, WORKER], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "working\n"
        parent.send_signal(signal.SIGKILL)
        # The worker holds the pipe as well: it is read to its end once both are gone.
        assert parent.communicate(timeout=100)[0] == ""
