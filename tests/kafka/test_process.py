import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

from tests.kafka.process import TetheredProcess

PARENT = """
import sys, time
from pathlib import Path
from tests.kafka.process import TetheredProcess
print(TetheredProcess([sys.executable, "-c", "import time; time.sleep(600)"], Path(sys.argv[1])).pid, flush=True)
time.sleep(600)
"""
ENDS_ON_FILE = "import pathlib, sys, time\nwhile not pathlib.Path(sys.argv[1]).exists(): time.sleep(.01)\nsys.exit(7)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"


def test_the_child_dies_with_a_killed_parent(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    ended, _, _ = select.select([child], [], [], 60)
    os.close(child)
    assert ended == [child]


def test_the_child_outlives_the_thread_that_asked_for_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ENDS_ON_FILE, str(tmp_path / "go")]
    started: list[TetheredProcess] = []
    thread = threading.Thread(target=lambda: started.append(TetheredProcess(command, tmp_path / "log")))
    thread.start()
    thread.join()
    (tmp_path / "go").touch()
    assert started[0].wait(60) == 7


def test_a_child_deaf_to_sigterm_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = TetheredProcess([sys.executable, "-c", DEAF], log)
    while "deaf" not in log.read_text():
        assert process.status() is None
    process.terminate(timeout_s=0.1)
    assert process.status() == -signal.SIGKILL
    process.kill()
