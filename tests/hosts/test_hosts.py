"""Hosts are what they are taken for, and jobs of both MPIs run on them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time

from ..support.clusters import until
from ..support.hosts import (
    SCRIPT,
    HostsJob,
    both,
    call,
    cut,
    hidden,
    names,
    off,
    on_hosts,
    processes,
    rate,
    traffic,
)
from ..support.jobs import descendants

pytestmark = on_hosts


@both
def test_ranks_are_where_they_shall_be(mpi):
    with HostsJob(mpi, ["h3", "h1"], "where.py") as job:
        assert job.wait() == 0, job.output
    assert "hosts: h3 h3 h1 h1 | together: 2 2 2 2" in job.output
    with HostsJob(mpi, 4, "where.py", slots=1) as job:
        assert job.wait() == 0, job.output
    assert "hosts: h1 h2 h3 h4 | together: 1 1 1 1" in job.output


@both
def test_ranks_of_one_host_are_found_and_killed(mpi, tmp_path):
    with HostsJob(mpi, 2, "where.py", tmp_path) as job:
        until(lambda: len(list(tmp_path.iterdir())) == 4)
        assert len(job.ranks()) == 4
        assert len(job.ranks("h2")) == 2
        job.kill(job.ranks("h2"))
        assert job.wait(60) != 0
    until(lambda: processes() == [])


@both
def test_a_job_that_is_left_has_ended(mpi, tmp_path):
    with HostsJob(mpi, 2, "where.py", tmp_path):
        until(lambda: len(list(tmp_path.iterdir())) == 4)
    until(lambda: processes() == [])


def test_each_host_has_its_own(tmp_path):
    for directory in ("/dev/shm", "/tmp"):
        call("exec", "h1", "touch", f"{directory}/of-h1")
        assert "of-h1" not in call("exec", "h2", "ls", directory)
        call("exec", "h1", "rm", f"{directory}/of-h1")
        assert not os.path.exists(f"{directory}/of-h1")
    call("exec", "h1", "touch", tmp_path / "common")
    assert call("exec", "h2", "ls", tmp_path) == "common\n"
    assert call("exec", "h2", "hostname") == "h2\n"
    assert call("exec", "h2", "sh", "-c", "echo $$").strip() != "1"


def test_a_hidden_directory_is_empty_on_one_host(tmp_path):
    (tmp_path / "seen").mkdir()
    (tmp_path / "seen" / "file").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "another").touch()
    with hidden("h2", tmp_path / "seen"):
        assert call("exec", "h2", "ls", tmp_path / "seen") == ""
        assert call("exec", "h1", "ls", tmp_path / "seen") == "file\n"
    with hidden("h2", tmp_path / "seen", tmp_path / "other"):
        assert call("exec", "h2", "ls", tmp_path / "seen") == "another\n"
    assert call("exec", "h2", "ls", tmp_path / "seen") == "file\n"


def reached(host, seconds=1):
    """Whether it answers, if only that nobody listens there."""
    try:
        socket.create_connection((host, 7), seconds)
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    raise AssertionError("somebody listens")


def test_a_host_without_cable_or_power_is_silent():
    assert reached("h2")
    with cut("h2"):
        assert not reached("h2")
        assert reached("h1")
    until(lambda: reached("h2"))
    with off("h2"):
        assert "h2" not in names()
        assert not reached("h2")
        assert reached("h1")
    until(lambda: reached("h2"))
    assert call("exec", "h2", "hostname") == "h2\n"


SEND = (
    "import socket; connection = socket.create_connection(('login', {port}));"
    "connection.sendall(bytes({size})); connection.shutdown(socket.SHUT_WR); connection.recv(1)"
)


def drain(server):
    """Take what one sends, and then close."""
    connection, _ = server.accept()
    with connection:
        while connection.recv(2**16):
            pass


def test_a_rate_limits_what_a_host_sends_and_bytes_count_it():
    size = 2_000_000
    before = traffic()
    with socket.create_server(("", 0)) as server, rate("20mbit", "h1"):
        taker = threading.Thread(target=drain, args=(server,), daemon=True)
        taker.start()
        began = time.monotonic()
        send = SEND.format(port=server.getsockname()[1], size=size)
        call("exec", "h1", sys.executable, "-c", send)
        took = time.monotonic() - began
        taker.join()
    assert took > 0.8 * 8 * size / 20e6  # a part goes at once
    after = traffic()
    assert 1.0 < (after["h1"].sent - before["h1"].sent) / size < 1.1
    assert after["h2"].sent - before["h2"].sent < size / 10


def test_hosts_end_with_a_lane_that_is_killed():
    command = [SCRIPT, "run", "2", "sh", "-c", "echo up; exec sleep 1000"]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE) as lane:
        assert lane.stdout.readline() == "up\n"
        inside = descendants(lane.pid)
        assert len(inside) >= 5  # the command, and two for each host
        lane.kill()
    until(lambda: not any(os.path.exists(f"/proc/{process}") for process in inside))
