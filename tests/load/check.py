"""What a request costs, and what many of them leave behind: a command that the cache answers, beside an axum hello world.

    check.py TARGET [SECONDS]     the folder with release/daur-host-under-test and release/daur-test-hello; 300 s of soak

Needs wrk. CPU time is that of the server's process alone, so a busy machine changes it little; the least of the rounds counts.
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
TARGET = os.path.abspath(sys.argv[1])
SOAK = int(sys.argv[2]) if len(sys.argv) > 2 else 300
PASSWORD = "correct horse battery"
ROUNDS, SECONDS, CLIENTS = 5, 6, 64
TIMES, GROWTH = 2.5, 1.10
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
            hello = ours("daur-test-hello")
            at, beside = origin(host), origin(hello)
            body = json.dumps({"user": "ada", "password": PASSWORD}).encode()
            login = urllib.request.urlopen(urllib.request.Request(at + "/api/login", data=body, headers={"Content-Type": "application/json"}), timeout=60)
            env = {"DAUR_TOKEN": json.load(login)["token"]}
            command = ["-s", os.path.join(HERE, "command.lua")]
            wrk(at, 2, *command, **env)
            wrk(beside, 2)
            ours_us, theirs_us, total = [], [], 0
            for _ in range(ROUNDS):
                theirs_us.append(cost(hello, beside, SECONDS)[0])
                us, count = cost(host, at, SECONDS, *command, **env)
                ours_us.append(us)
                total += count
            ratio = min(ours_us) / min(theirs_us)
            print(f"cached command {min(ours_us):.1f} us of CPU, hello world {min(theirs_us):.1f}: {ratio:.2f} times, at most {TIMES}; {total} requests of {CLIENTS} clients, no error")
            print(f"  rounds: {[round(us, 1) for us in ours_us]} and {[round(us, 1) for us in theirs_us]}", flush=True)
            assert total >= 10_000, total
            soak = subprocess.Popen(["wrk", "-t1", f"-c{CLIENTS}", f"-d{SOAK}s", "--timeout", "20s", *command, at], stdout=subprocess.PIPE, text=True, env={**os.environ, **env, "DAUR_PAUSE": "50"})
            started.append(soak)
            sizes = []
            while soak.poll() is None:
                sizes.append(memory(host))
                time.sleep(1)
            told = soak.stdout.read()
            assert soak.returncode == 0 and "Non-2xx" not in told and "Socket errors" not in told, told
            # What is filled once, its caches and history, is filled in the first fifth.
            sizes = sizes[len(sizes) // 5 :]
            print(f"RSS over {SOAK} s and {re.search(r'([0-9]+) requests in', told)[1]} requests: {min(sizes)} to {max(sizes)} kB, {sizes[0]} at first, {sizes[-1]} at last", flush=True)
            assert max(sizes) <= min(sizes) * GROWTH, "it is not flat"
            assert ratio <= TIMES, "it costs too much"
        finally:
            for child in started:
                child.kill()
                child.wait()


main()
