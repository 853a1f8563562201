"""Processes are ended for certain, and seen to have ended even where nobody reaps them."""

from __future__ import annotations

import signal
import subprocess
import time

import psutil

from deploy.local import processes


def test_a_process_whose_parent_takes_no_notice_of_its_end_has_ended() -> None:
    script = "sleep 600 & echo $!; exec sleep 600"
    parent = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    started = time.monotonic()
    try:
        assert processes.stop(child, sent=signal.SIGTERM, within_s=30)
        assert time.monotonic() - started < 5
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()


def test_a_process_that_does_not_listen_is_killed() -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
    child = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.readline()
    assert not processes.stop(psutil.Process(child.pid), sent=signal.SIGTERM, within_s=1)
    assert not psutil.pid_exists(child.pid)
    child.stdout.close()
