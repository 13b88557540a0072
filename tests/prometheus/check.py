"""Reads what daur-host and daur-test-prometheus tell as others would: promtool, the Python client, a Prometheus server.

    check.py TARGET     the folder with debug/daur-host-under-test, debug/daur-test-prometheus, debug/daur-test-device
"""

import json
import math
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as classic

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
TARGET = os.path.abspath(sys.argv[1])
PASSWORD = "correct horse battery"
OPEN = "application/openmetrics-text;version=1.0.0"
PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
started = []


def program(*args, **kwargs):
    child = subprocess.Popen(args, **kwargs)
    started.append(child)
    return child


def ours(name, *args, **kwargs):
    return program(os.path.join(TARGET, "debug", name), *args, stdout=subprocess.PIPE, text=True, **kwargs)


def first_line(child):
    line = child.stdout.readline()
    assert line, f"{child.args[0]} ended before its first line"
    return line.strip()


def get(url, accept=None, body=None, headers=None):
    """The body and the type of its content; an error's too."""
    request = urllib.request.Request(url, data=body and json.dumps(body).encode(), headers=headers or {})
    if body:
        request.add_header("Content-Type", "application/json")
    if accept:
        request.add_header("Accept", accept)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.read(), answer.headers["Content-Type"]
    except urllib.error.HTTPError as error:
        return error.read(), error.headers["Content-Type"]


def until(what, condition, seconds=180):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds} s: {what}")


count = 0


def done(what):
    global count
    count += 1
    print(f"ok {count} - {what}", flush=True)


def near(found, truth, error):
    assert abs(found / truth - 1) <= error, f"{found} is more than {error} off {truth}"


def lint(name, text):
    answer = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    assert answer.returncode == 0, f"promtool on {name}: {answer.returncode}\n{(answer.stdout + answer.stderr).decode()}"


def samples(families):
    """(name, labels) -> value; the classic parser names a counter as its samples."""
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def same(a, b):
    return float(a) == float(b) or (math.isnan(a) and math.isnan(b))


def host(directory):
    """A host with a device, a model that is not there, and some requests behind it."""
    data = os.path.join(directory, "data")
    adding = ours("daur-host-under-test", "user", "add", "ada", "--permissions", "read,write,admin", "--password-stdin", "--data-dir", data, stdin=subprocess.PIPE)
    adding.communicate(PASSWORD + "\n", timeout=180)
    assert adding.returncode == 0
    device = first_line(ours("daur-test-device", "0", os.path.join(data, "fleet.key")))
    config = os.path.join(directory, "daur.toml")
    with open(config, "w") as file:
        file.write('[[model.upstreams]]\nname = "absent"\nurl = "http://127.0.0.1:9/v1/chat/completions"\n')
    server = ours("daur-host-under-test", "--listen", "127.0.0.1:0", "--config", config, "--data-dir", data, "--device", f"tcp:{device}", stderr=open(os.path.join(directory, "host.log"), "w"))
    origin = re.search(r"http://[\d.:]+", first_line(server))[0]
    login, _ = get(origin + "/api/login", body={"user": "ada", "password": PASSWORD})
    bearer = {"Authorization": "Bearer " + json.loads(login)["token"]}
    for command in ["uname", "uname", "echo a", "false", "no-such-program"]:
        get(origin + "/api/command", body={"command": command}, headers=bearer)
    for prompt in ["one", "two"]:
        get(origin + "/api/model", body={"messages": [{"role": "user", "content": prompt}]}, headers=bearer)
    for _ in range(50):
        get(origin + "/livez")
    get(origin + "/no/such/route\"\\")
    for late in [b"daur_device_distribution_count", b"daur_system_cpu_ratio", b"daur_events_total", b"daur_job_last_run_seconds"]:
        until(late, lambda: late in get(origin + "/metrics")[0])
    return origin


def texts(origin, test, truth):
    for name, url in [("daur-host", origin + "/metrics"), ("the hostile page", test + "/metrics")]:
        text, kind = get(url)
        assert kind == "text/plain; version=0.0.4; charset=utf-8", kind
        lint(name, text)
        done(f"promtool finds no fault with {name}")
        text = text.decode()
        open_text, kind = get(url, OPEN)
        assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8", kind
        families = {family.name: family for family in openmetrics(open_text.decode())}
        found, of_text = samples(families.values()), samples(classic(text))
        created = {key for key in found if key[0].endswith("_created")}
        if name == "daur-host":
            # Some figures come with time, and this very reading is one of the requests.
            names = lambda keys: {key[0] for key in keys}
            assert names(of_text) <= names(found) and "daur_http_request_duration_seconds_created" in names(created), names(of_text) - names(found)
            assert not any(key[0].startswith("daur_exposition_dropped") for key in found), "the host leaves something out"
            assert families["daur_http_request_duration_seconds"].unit == "seconds"
            assert families["daur_http_request_duration_seconds"].type == "histogram"
        else:
            assert set(found) - created == set(of_text)
            other = {key: (found[key], of_text[key]) for key in of_text if not same(found[key], of_text[key])}
            assert not other, other
            told = {int(dict(labels)["n"]): (dict(labels)["value"], value) for (name, labels), value in found.items() if name == "hostile_labels_total"}
            assert told == {n: (value, n) for n, value in enumerate(truth["hostile"])}, told
            assert families["hostile_labels"].documentation == 'Labels that are "hostile",\nof two lines\\.'
            odd = {dict(labels)["is"]: float(value) for (name, labels), value in found.items() if name == "odd_values"}
            assert math.isnan(odd.pop("nan"))
            assert odd == {"inf": math.inf, "minus_inf": -math.inf, "tiny": 5e-324, "huge": sys.float_info.max, "zero": 0, "u64": 2.0**64, "i64": -(2**63)}, odd
            assert not any("fake" in name for name, _ in found)
            assert found["daur_exposition_dropped_total", ()] == 1
        done(f"the parsers of Python read {name} alike, in both formats")
    return {key[0] for key in found} | set(families)


def grafana(origin):
    model = json.loads(subprocess.run([os.path.join(TARGET, "debug/daur-host-under-test"), "grafana"], capture_output=True, check=True).stdout)
    with open(os.path.join(ROOT, "host-example/grafana/daur.json")) as file:
        assert model == json.load(file)
    families = list(openmetrics(get(origin + "/metrics", OPEN)[0].decode()))
    known = {sample.name for family in families for sample in family.samples} | {family.name for family in families}
    expressions = [target["expr"] for panel in model["panels"] for target in panel.get("targets", [])]
    expressions += [entry["query"]["query"] for entry in model["templating"]["list"] if entry["type"] == "query"]
    expressions += [entry["expr"] for entry in model["annotations"]["list"]]
    used = {name for expression in expressions for name in re.findall(r"\b(?:daur|process)_[a-z0-9_]+", expression)}
    assert len(used) > 40 and not used - known, f"not on /metrics: {sorted(used - known)}"
    assert {panel["datasource"]["uid"] for panel in model["panels"] if "datasource" in panel} == {"${datasource}"}
    places = [panel["gridPos"] for panel in model["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places) and len({panel["id"] for panel in model["panels"]}) == len(places)
    done(f"the dashboard of Grafana asks for {len(used)} metrics, all of which there are")
    return expressions


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Prometheus:
    def __init__(self, directory, origin, test):
        address = lambda url: url.removeprefix("http://")
        job = lambda name, url, path: {"job_name": name, "metrics_path": path, "static_configs": [{"targets": [address(url)]}]}
        config = {"global": {"scrape_interval": "2s", "scrape_timeout": "2s"}, "scrape_configs": [job("host", origin, "/metrics"), job("native", test, "/metrics"), job("text", test, "/text"), job("open", test, "/openmetrics")]}
        file = os.path.join(directory, "prometheus.yml")
        with open(file, "w") as out:
            json.dump(config, out)  # JSON is YAML
        self.port = free_port()
        self.log = os.path.join(directory, "prometheus.log")
        program("prometheus", f"--config.file={file}", f"--storage.tsdb.path={directory}/tsdb", f"--web.listen-address=127.0.0.1:{self.port}", "--enable-feature=native-histograms", "--log.level=warn", stdout=open(self.log, "w"), stderr=subprocess.STDOUT)

    def ask(self, path, **query):
        try:
            answer = json.loads(get(f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}")[0])
        except OSError:
            return None
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression):
        data = self.ask("query", query=expression)
        return [(series["metric"], series["value"][1]) for series in data["result"]] if data else []

    def number(self, expression):
        return float(until(expression, lambda: self.query(expression))[0][1])


def server(prometheus, truth, expressions):
    def all_up():
        data = prometheus.ask("targets")
        targets = data["activeTargets"] if data else []
        return len(targets) == 4 and all(target["health"] == "up" for target in targets)

    try:
        until("four targets that are up", all_up)
    except AssertionError:
        for target in prometheus.ask("targets")["activeTargets"]:
            print(target["scrapePool"], target["health"], target["lastError"], file=sys.stderr)
        raise
    done("a Prometheus scrapes protobuf, OpenMetrics and text")
    for job in ["native", "text", "open"]:
        told = until(job, lambda: prometheus.query(f'hostile_labels_total{{job="{job}"}}'))
        # To Prometheus a label without a value is none.
        found = {int(metric["n"]): metric.get("value", "") for metric, _ in told}
        assert found == dict(enumerate(truth["hostile"])), (job, found)
        assert all(int(value) == int(metric["n"]) for metric, value in told)
        assert prometheus.number(f'_0_hostile_name__{{job="{job}"}}') == 1
        assert prometheus.number(f'known_registry_events_total{{job="{job}"}}') == 12
    done("with every hostile label as it was")
    for name in [name for name in truth if name.startswith("known")]:
        expected = truth[name]
        native = f'{name}{{job="native"}}'
        assert prometheus.number(f"histogram_count({native})") == expected["count"]
        near(prometheus.number(f"histogram_sum({native})"), expected["sum"], 1e-4)
        for quantile in ["p50", "p99"]:
            found = prometheus.number(f"histogram_quantile(0.{quantile[1:]}, {native})")
            near(found, expected[quantile], expected["error"])
            print(f"  {name} {quantile}: {found:.6f} s, in truth {expected[quantile]:.6f} s ({(found / expected[quantile] - 1) * 100:+.3f} %)")
        # The classic buckets are octaves: within a factor of two.
        for job in ["text", "open"]:
            assert prometheus.number(f'{name}_count{{job="{job}"}}') == expected["count"]
            found = prometheus.number(f'histogram_quantile(0.99, {name}_bucket{{job="{job}"}})')
            assert 0.5 <= found / expected["p99"] <= 2, (name, found)
        assert not prometheus.query(f'{name}_bucket{{job="native"}}'), "the native histogram was not taken as one"
    done("count, sum, p50 and p99 of known distributions are right, from native histograms")
    assert prometheus.number('histogram_count(known_empty_seconds{job="native"})') == 0
    assert prometheus.number('known_quantiles_seconds_count{job="native", of=""}') == truth["known_nanos_seconds"]["count"]
    near(prometheus.number('known_quantiles_seconds{job="native", of="", quantile="0.99"}'), truth["known_nanos_seconds"]["p99"], 0.0109)
    live = prometheus.number('histogram_count(daur_http_request_duration_seconds{job="host", operation="GET /livez"})')
    assert live == 50, live
    answers = prometheus.number('daur_http_requests_total{job="host", operation="GET /livez", status="200"}')
    assert answers == live, answers
    p99 = prometheus.number('histogram_quantile(0.99, daur_http_request_duration_seconds{job="host", operation="GET /livez"})')
    assert 0 < p99 < 60, p99
    done("the host's latencies are native histograms, of as many requests as were made")
    until("two scrapes", lambda: prometheus.query("rate(daur_uptime_seconds[30s]) > 0"))
    filled = [expression.replace("$__rate_interval", "30s").replace("$__interval", "30s").replace("$instance", ".*").replace("$device", ".*") for expression in expressions if not expression.startswith("label_values")]
    wanted = [expression for expression in filled if "_bucket" not in expression and "resets(" not in expression and " == 0)" not in expression]
    # A scrape that was late on a busy machine leaves a hole until the next one.
    for expression in wanted:
        until(expression, lambda: prometheus.query(expression))
    done(f"it answers {len(expressions)} expressions of the dashboard")


def main():
    directory = tempfile.mkdtemp(prefix="prometheus-", dir=TARGET)
    try:
        origin = host(directory)
        test = "http://" + first_line(ours("daur-test-prometheus"))
        truth = json.loads(get(test + "/truth")[0])
        texts(origin, test, truth)
        body, kind = get(origin + "/metrics", PROTOBUF + ",text/plain;q=0.5")
        assert kind.startswith("application/vnd.google.protobuf") and b"# TYPE" not in body, kind
        expressions = grafana(origin)
        server(Prometheus(directory, origin, test), truth, expressions)
    except BaseException:
        for name in ["host.log", "prometheus.log"]:
            path = os.path.join(directory, name)
            if os.path.exists(path):
                with open(path) as log:
                    print(name, "ends with\n" + log.read()[-3000:], file=sys.stderr)
        raise
    finally:
        for child in started:
            child.terminate()
        for child in started:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
        shutil.rmtree(directory, ignore_errors=True)


main()
