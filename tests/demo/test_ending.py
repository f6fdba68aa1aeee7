"""A demo that is stopped leaves nothing behind."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import httpx
import pytest

from demo.__main__ import INTERRUPTED


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal_everything_ends(number: signal.Signals) -> None:
    command = [sys.executable, "-u", "-m", "demo", "--baseline-s", "600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as demo:
        assert demo.stdout is not None
        shown = ""
        for line in demo.stdout:
            shown += line
            if line.startswith("  assistant"):
                break
        addresses = re.findall(r"http://127\.0\.0\.1:\d+", shown)
        assert len(addresses) >= 4, shown
        demo.send_signal(number)
        rest = demo.stdout.read()
        assert demo.wait() == INTERRUPTED, rest
    for address in addresses:
        with pytest.raises(httpx.ConnectError):
            httpx.get(address, trust_env=False)
