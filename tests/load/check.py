"""What a request costs, and what many of them leave behind: a command that the cache answers.

    check.py load TARGET              its CPU beside that of an axum hello world, in the same run
    check.py soak TARGET [SECONDS]    64 clients that keep their connections, for 300 s if not said

TARGET has release/daur-host-under-test and release/daur-test-hello. Needs wrk: apt-get install wrk, on Debian. CPU time is
that of the server's process alone, so a busy machine changes it little; the least of the rounds counts. Whatever is not as it
should be ends it with another code than 0.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
WHAT, TARGET = sys.argv[1], os.path.abspath(sys.argv[2])
SECONDS = int(sys.argv[3]) if len(sys.argv) > 3 else 300
PASSWORD = "correct horse battery"
ROUNDS, ROUND, CLIENTS = 7, 6, 64
TIMES, GROWTH = 2.5, 1.10
# Requests of each client in 300 s, the pause that gives somewhat more, and what goes before: what is filled once, caches and
# history, is filled then.
EACH, PAUSE, WARM = 10_000, 12, 30
started = []


def ours(name, *args, **kwargs):
    child = subprocess.Popen([os.path.join(TARGET, "release", name), *args], stdout=subprocess.PIPE, text=True, **kwargs)
    started.append(child)
    return child


def origin(child):
    line = child.stdout.readline()
    assert line, f"{child.args[0]} ended before its first line"
    return re.search(r"http://[\d.:]+", line)[0]


def cpu(child):
    """Seconds of CPU that it has used, user's and system's."""
    with open(f"/proc/{child.pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(child):
    with open(f"/proc/{child.pid}/status") as file:
        return int(re.search(r"VmRSS:\s+(\d+) kB", file.read())[1])


def wrk(url, seconds, *args, **env):
    result = subprocess.run(["wrk", "-t1", f"-c{CLIENTS}", f"-d{seconds}s", "--timeout", "20s", *args, url], capture_output=True, text=True, env={**os.environ, **env}, timeout=seconds + 60)
    assert result.returncode == 0, result.stdout + result.stderr
    for fault in ["Non-2xx", "Socket errors"]:
        assert fault not in result.stdout, result.stdout
    return int(re.search(r"(\d+) requests in", result.stdout)[1])


def cost(child, *args, **env):
    """Microseconds of the server's CPU for one request."""
    before = cpu(child)
    count = wrk(*args, **env)
    return (cpu(child) - before) * 1e6 / count, count


def load(host, at, env):
    hello = ours("daur-test-hello")
    beside = origin(hello)
    command = ["-s", os.path.join(HERE, "command.lua")]
    wrk(at, 2, *command, **env)
    wrk(beside, 2)
    ours_us, theirs_us, total = [], [], 0
    for _ in range(ROUNDS):
        theirs_us.append(cost(hello, beside, ROUND)[0])
        us, count = cost(host, at, ROUND, *command, **env)
        ours_us.append(us)
        total += count
    ratio = min(ours_us) / min(theirs_us)
    print(f"cached command {min(ours_us):.1f} us of CPU, hello world {min(theirs_us):.1f}: {ratio:.2f} times, at most {TIMES}; {total} requests of {CLIENTS} clients, no error")
    print(f"  rounds: {[round(us, 1) for us in ours_us]} and {[round(us, 1) for us in theirs_us]}", flush=True)
    assert total >= 10_000, total
    assert ratio <= TIMES, "it costs too much"


def soak(host, at, env):
    sizes, end = [], time.monotonic() + WARM
    args = ["wrk", f"-t{CLIENTS}", f"-c{CLIENTS}", f"-d{WARM + SECONDS}s", "--timeout", "20s", "-s", os.path.join(HERE, "command.lua"), at]
    clients = subprocess.Popen(args, stdout=subprocess.PIPE, text=True, env={**os.environ, **env, "DAUR_PAUSE": str(PAUSE)})
    started.append(clients)
    while clients.poll() is None:
        if time.monotonic() >= end:
            sizes.append(memory(host))
        time.sleep(1)
    told = clients.stdout.read()
    assert clients.returncode == 0 and "Non-2xx" not in told and "Socket errors" not in told, told
    least, other = map(int, re.search(r"least of a client: (\d+), other answers: (\d+)", told).groups())
    needed = EACH * (WARM + SECONDS) // (WARM + 300)
    all = re.search(r"(\d+) requests in", told)[1]
    print(f"{all} requests of {CLIENTS} clients in {WARM + SECONDS} s, {least} at least of each, needed {needed}, no error; RSS over the last {SECONDS} s: {min(sizes)} to {max(sizes)} kB, {sizes[0]} at first, {sizes[-1]} at last", flush=True)
    assert other == 0, f"{other} answers were no success"
    assert least >= needed, "too few requests: is the machine busy?"
    assert max(sizes) <= min(sizes) * GROWTH, "memory is not flat"


def main():
    with tempfile.TemporaryDirectory() as directory:
        try:
            data = os.path.join(directory, "data")
            adding = ours("daur-host-under-test", "user", "add", "ada", "--permissions", "read,write,admin", "--password-stdin", "--data-dir", data, stdin=subprocess.PIPE)
            adding.communicate(PASSWORD + "\n", timeout=60)
            config = os.path.join(directory, "daur.toml")
            with open(config, "w") as file:
                file.write("[policy]\napi_rate = 1000000\napi_burst = 1000000\n")
            host = ours("daur-host-under-test", "--listen", "127.0.0.1:0", "--config", config, "--data-dir", data, stderr=open(os.path.join(directory, "host.log"), "w"))
            at = origin(host)
            body = json.dumps({"user": "ada", "password": PASSWORD}).encode()
            login = urllib.request.urlopen(urllib.request.Request(at + "/api/login", data=body, headers={"Content-Type": "application/json"}), timeout=60)
            {"load": load, "soak": soak}[WHAT](host, at, {"DAUR_TOKEN": json.load(login)["token"]})
        finally:
            for child in started:
                child.kill()
                child.wait()


main()
