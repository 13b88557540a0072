"""Holds daur-host to its description: every answer that is described is got once and is as described; then schemathesis
asks whatever else the description allows, and much that it does not.

    check.py TARGET     the folder with debug/daur-host-under-test and debug/daur-test-device; run by the Python of the
                        environment that `.ci/setup` makes for schemathesis
"""

import http.server
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time

import requests
from jsonschema_rs import Draft202012Validator

HERE = os.path.dirname(os.path.abspath(__file__))
TARGET = os.path.abspath(sys.argv[1])
PASSWORD = "correct horse battery"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance,unsupported_method,allow_header_conformance"
started = []
count = 0


def done(what):
    global count
    count += 1
    print(f"ok {count} - {what}", flush=True)


def ours(name, *args, **kwargs):
    child = subprocess.Popen([os.path.join(TARGET, "debug", name), *args], stdout=subprocess.PIPE, text=True, **kwargs)
    started.append(child)
    return child


def first_line(child):
    line = child.stdout.readline()
    assert line, f"{child.args[0]} ended before its first line"
    return line.strip()


class Model(http.server.BaseHTTPRequestHandler):
    """An upstream that has an answer to everything."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        chat = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = {"role": "assistant", "content": "hello"}
        if chat.get("stream"):
            kind, body = "text/event-stream", f"data: {json.dumps({'choices': [{'index': 0, 'delta': said}]})}\n\ndata: [DONE]\n\n"
        else:
            kind, body = "application/json", json.dumps({"object": "chat.completion", "choices": [{"index": 0, "message": said}]})
        body = body.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def host(directory):
    """A server with users, a device and a model, whose limits do not end the questions."""
    data = os.path.join(directory, "data")
    for name, permissions in [("ada", "read,write,admin"), ("bob", "read")]:
        adding = ours("daur-host-under-test", "user", "add", name, "--permissions", permissions, "--password-stdin", "--data-dir", data, stdin=subprocess.PIPE)
        adding.communicate(PASSWORD + "\n", timeout=60)
        assert adding.returncode == 0
    device = first_line(ours("daur-test-device", "0", os.path.join(data, "fleet.key")))
    model = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=model.serve_forever, daemon=True).start()
    config = os.path.join(directory, "daur.toml")
    with open(config, "w") as file:
        file.write("[policy]\niterations = 1000\nlogin_rate = 1000000\napi_rate = 1000000\napi_burst = 1000000\nlockout.max_attempts = 100\n")
        file.write(f'[[model.upstreams]]\nname = "one"\nurl = "http://127.0.0.1:{model.server_port}/v1/chat/completions"\n')
    log = open(os.path.join(directory, "host.log"), "w")
    server = ours("daur-host-under-test", "--listen", "127.0.0.1:0", "--config", config, "--data-dir", data, "--device", f"tcp:{device}", stderr=log)
    return server, re.search(r"http://[\d.:]+", first_line(server))[0]


def follow(document, said):
    while "$ref" in said:
        at = document
        for part in said["$ref"].split("/")[1:]:
            at = at[part]
        said = at
    return said


class Tour:
    """Asks, and compares each answer with what is described."""

    def __init__(self, origin):
        self.origin = origin
        self.document = requests.get(origin + "/openapi.json", timeout=20).json()
        self.seen = set()
        self.token = None

    def ask(self, method, path, expected, body=None, pattern=None, **kwargs):
        headers = kwargs.pop("headers", {})
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        answer = requests.request(method, self.origin + path, json=body, headers=headers, timeout=60, **kwargs)
        if not kwargs.get("stream"):
            assert answer.status_code == expected, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        pattern = pattern or path.split("?")[0]
        described = self.document["paths"][pattern][method.lower()]["responses"]
        assert str(expected) in described, f"{method} {pattern} does not describe {expected}"
        said = follow(self.document, described[str(expected)])
        self.seen.add((method, pattern, str(expected)))
        kind = answer.headers.get("Content-Type", "").split(";")[0]
        assert kind in said.get("content", {"": {}}), f"{method} {path}: {kind}"
        for name, header in said.get("headers", {}).items():
            assert name in answer.headers or not header.get("required"), f"{method} {path}: no {name}"
        if kind.endswith("json"):
            schema = {**said["content"][kind]["schema"], "components": self.document["components"]}
            faults = list(Draft202012Validator(schema).iter_errors(answer.json()))
            assert not faults, f"{method} {path}: {faults[0].instance_path}: {faults[0].message[:300]}"
        return answer

    def login(self):
        self.token = None
        self.token = self.ask("POST", "/api/login", 200, {"user": "ada", "password": PASSWORD}).json()["token"]

    def go(self):
        self.nobody()
        self.login()
        self.people()
        self.work()
        self.figures()
        self.devices()
        self.operations()
        self.probes()
        described = {(m.upper(), p, s) for p, methods in self.document["paths"].items() for m, said in methods.items() for s in said["responses"] if s < "400"}
        assert described <= self.seen, f"described and never got: {sorted(described - self.seen)}"
        done(f"every answer but a refusal is got and as described: {len(described)}, and {len(self.seen - described)} refusals")

    def nobody(self):
        for path, pattern in [("/", None), ("/openapi.json", None), ("/assets/app.js", "/assets/{part}"), ("/assets/app.css", "/assets/{part}")]:
            tag = self.ask("GET", path, 200, pattern=pattern).headers["ETag"]
            self.ask("GET", path, 304, pattern=pattern, headers={"If-None-Match": tag})
        self.ask("GET", "/assets/none", 404, pattern="/assets/{part}")
        assert self.ask("GET", "/api/session", 200).json()["user"] is None
        self.ask("GET", "/api/status", 401)
        self.ask("POST", "/api/login", 401, {"user": "ada", "password": "wrong"})
        self.ask("POST", "/api/login", 400, {"user": 1})
        self.ask("POST", "/api/login", 413, {"user": "x" * (2 << 20), "password": ""})

    def people(self):
        self.ask("GET", "/api/session", 200)
        number = self.ask("GET", "/api/sessions", 200).json()["sessions"][0]["number"]
        self.token = self.ask("POST", "/api/token/refresh", 200).json()["token"]
        self.ask("DELETE", "/api/sessions/999999", 404, pattern="/api/sessions/{number}")
        self.ask("DELETE", f"/api/sessions/{number}", 204, pattern="/api/sessions/{number}")
        self.login()
        self.ask("POST", "/api/logout", 204)
        self.login()
        self.ask("GET", "/api/users", 200)
        new = {"name": "tim", "password": "a long one for Tim 9", "permissions": ["read"]}
        self.ask("POST", "/api/users", 201, new)
        self.ask("POST", "/api/users", 409, new)
        self.ask("POST", "/api/users", 400, {**new, "permissions": ["fly"]})
        self.ask("PATCH", "/api/users/tim", 200, {"disabled": True}, pattern="/api/users/{name}")
        self.ask("DELETE", "/api/users/tim", 204, pattern="/api/users/{name}")
        self.ask("DELETE", "/api/users/tim", 404, pattern="/api/users/{name}")
        self.ask("DELETE", "/api/users/ada", 409, pattern="/api/users/{name}")

    def work(self):
        for command in ["uname", "uname", "ls nothing"]:
            self.ask("POST", "/api/command", 200, {"command": command})
        self.ask("POST", "/api/command", 400, {"command": "echo 'a"})
        self.ask("POST", "/api/command", 403, {"command": "rm x"})
        chat = {"messages": [{"role": "user", "content": "hello"}]}
        self.ask("POST", "/api/model", 200, chat)
        self.ask("POST", "/api/model", 200, chat)
        streamed = self.ask("POST", "/api/model", 200, {**chat, "stream": True})
        assert streamed.headers["Content-Type"] == "text/event-stream" and "[DONE]" in streamed.text, streamed.text
        self.ask("POST", "/api/model", 400, {"messages": []})

    def figures(self):
        for path in ["/api/status", "/api/history", "/api/history?series=cpu,breaker:uname&points=7", "/api/analytics", "/api/notifications", "/api/logs", "/metrics"]:
            self.ask("GET", path, 200)
        self.ask("GET", "/api/notifications?topic=breaker.%3E&limit=3", 200)
        for path in ["/api/notifications?topic=a..b", "/api/history?points=x", "/api/logs?level=loud", "/api/audit?kind=none"]:
            self.ask("GET", path, 400)
        for kind in ["json", "csv", "html", "prom"]:
            self.ask("GET", f"/api/reports/{kind}", 200, pattern="/api/reports/{format}")
        self.ask("GET", "/api/reports/pdf", 404, pattern="/api/reports/{format}")
        self.ask("GET", "/metrics", 200, headers={"Accept": "application/openmetrics-text;version=1.0.0"})
        self.ask("GET", "/metrics", 200, headers={"Accept": "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"})
        with self.ask("GET", "/api/events", 200, stream=True) as stream:
            names = (line.removeprefix("event: ") for line in stream.iter_lines(decode_unicode=True) if line.startswith("event: "))
            assert next(names) == "history" and "status" in names
        self.ask("GET", "/api/audit", 200)
        self.ask("GET", "/api/audit?kind=login&limit=2", 200)
        self.ask("GET", "/api/audit/verify", 200)

    def devices(self):
        end = time.monotonic() + 60
        while time.monotonic() < end and not any(one["id"] for one in self.ask("GET", "/api/devices", 200).json()):
            time.sleep(0.2)
        for name, status in [("boiler-7", 200), ("none", 404)]:
            self.ask("GET", f"/api/devices/{name}", status, pattern="/api/devices/{id}")
            self.ask("POST", f"/api/devices/{name}/commands", status, {"command": "set-interval 500"}, pattern="/api/devices/{id}/commands")
            self.ask("GET", f"/api/devices/{name}/audit", status, pattern="/api/devices/{id}/audit")

    def operations(self):
        for how, state in [("force-open", "forced_open"), ("force-close", "disabled"), ("reset", "closed")]:
            pattern = f"/api/breakers/{{name}}/{how}"
            assert self.ask("POST", f"/api/breakers/uname/{how}", 200, pattern=pattern).json()["state"] == state
            self.ask("POST", f"/api/breakers/none/{how}", 404, pattern=pattern)
        self.ask("POST", "/api/cache/clear", 200)
        for how in ["pause", "resume", "run", "cancel"]:
            pattern = f"/api/jobs/{{id}}/{how}"
            self.ask("POST", f"/api/jobs/none/{how}", 404, pattern=pattern)
            self.ask("POST", f"/api/jobs/analytics/{how}", 200, pattern=pattern)
        self.ask("PUT", "/api/log-level", 200, {"level": "info"})
        self.ask("PUT", "/api/log-level", 400, {"level": "loud"})

    def probes(self):
        for path in ["/livez", "/livez?verbose", "/readyz", "/startupz"]:
            self.ask("GET", path, 200)
        # No probe may say so of a server that is well: what it says when it is not is in the tests of its health.
        self.seen |= {("GET", path, "503") for path in ["/livez", "/readyz", "/startupz"]}


def main():
    with tempfile.TemporaryDirectory() as directory:
        try:
            server, origin = host(directory)
            tour = Tour(origin)
            tour.go()
            run = [
                os.path.join(os.path.dirname(sys.executable), "schemathesis"), "run", origin + "/openapi.json", "--checks", CHECKS,
                "--phases", "examples,coverage,fuzzing", "--max-examples", "12", "--seed", "20260101", "--workers", "2",
                "--exclude-path", "/api/events", "--request-timeout", "60", "--continue-on-failure", "--generation-database", "none", "--no-color",
                "--suppress-health-check", "all", "--warnings", "off",
            ]  # fmt: skip
            # That it has too much to do, or somebody else takes too long, is no error of the server's: a busy machine makes them so.
            with open(os.path.join(directory, "schemathesis.toml"), "w") as file:
                file.write('[checks.not_a_server_error]\nexpected-statuses = ["2xx", "3xx", "4xx", 503, 504]\n')
            hooks = {"SCHEMATHESIS_HOOKS": "hooks", "DAUR_ORIGIN": origin, "DAUR_PASSWORD": PASSWORD, "PYTHONPATH": HERE}
            began = time.monotonic()
            result = subprocess.run(run, cwd=directory, env={**os.environ, **hooks}, capture_output=True, text=True, timeout=900)
            if result.returncode != 0:
                print(result.stdout, result.stderr, sep="\n")
                raise AssertionError(f"schemathesis finds fault: {result.returncode}")
            tested = re.search(r"Tested: +(\d+)", result.stdout)
            assert tested, result.stdout
            operations = sum(len(methods) for methods in tour.document["paths"].values())
            # The stream of events has no end, and the description itself is left out by schemathesis.
            assert int(tested[1]) == operations - 2, f"of {operations} operations: {tested[0]}\n{result.stdout}"
            cases = re.search(r"(\d+) generated", result.stdout)
            done(f"schemathesis finds no fault: {tested[1]} operations, {cases[1] if cases else '?'} cases in {time.monotonic() - began:.0f} s")
            assert server.poll() is None, "the server has ended"
            tour.login()
            assert tour.ask("GET", "/api/audit/verify", 200).json()["intact"] is True
            done("the server is well after it, and its audit whole")
        finally:
            for child in started:
                child.kill()
                child.wait()


main()
