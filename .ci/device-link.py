#!/usr/bin/env python3
"""Plays the host to the firmware in QEMU, with nothing of daur in it.

    device-link.py ELF..

Frames, check sums, postcard, tokens and keys are written here a second time, from their specifications
alone, so that a fault common to both ends of daur does not pass. Real time passes: about 40 s.
"""

import base64
import hashlib
import hmac
import json
import os
import socket
import struct
import subprocess
import sys
import time
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLE = os.path.join(HERE, "..", "firmware-example")
DEVICE = "node-1"

# Record, field: the schema as the firmware of schema 5 sends it. u: varint, i: zigzag varint, s: text, o: optional
# varint, b: a byte, x: bytes.
RECORDS = [
    ("hello", "device:s boot:u nonce:u schema:u firmware:s reset:u"),
    ("lost", "count:u since:u"),
    ("counter", "name:s total:u"),
    ("gauge", "name:s value:i"),
    ("distribution", "name:s unit:u count:u sum:u min:u max:u p50:u p95:u p99:u"),
    ("breaker", "name:s state:u consecutive_failures:u opened:u refused:u retry_at:o"),
    ("error", "kind:s total:u message:s at:u"),
    ("system", "uptime:u stack_high_water:u stack_size:u idle_permille:u"),
    ("log", "level:u target:s message:s"),
    ("reply", "counter:u verdict:u message:s"),
    ("cache", "name:s hits:u misses:u len:u capacity:u"),
    ("health", "live:b ready:b"),
    ("audit", "entry:x"),
    ("log_before", "number:u at:u last_at:u level:b target:s message:s repeated:u"),
    ("report", "uptime:u live:o ready:o level:b breakers_closed:u breakers_trying:u breakers_open:u breakers_forced:u refused:u"
               " errors:u errors_recent:u cache_hits:u cache_misses:u queued:u queue_refused:u log_dropped:u lost:u audited:u"
               " audit_lost:u"),
]
STATES = ["closed", "open", "half_open", "forced_open", "disabled"]
VERDICTS = ["accepted", "bad_signature", "wrong_device", "replayed", "forbidden", "unknown_command", "invalid",
            "limited", "failed", "expired", "no_clock"]


def unstuff(stuffed):
    """COBS without its delimiter; None if it is none."""
    out, at = bytearray(), 0
    while at < len(stuffed):
        code = stuffed[at]
        block = stuffed[at + 1:at + code]
        if code == 0 or len(block) != code - 1:
            return None
        out += block
        at += code
        if code < 255 and at < len(stuffed):
            out.append(0)
    return bytes(out)


def stuff(data):
    out = bytearray()
    for block in data.split(b"\0"):
        while len(block) >= 254:
            out += b"\xff" + block[:254]
            block = block[254:]
        out += bytes([len(block) + 1]) + block
    return bytes(out)


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def u(self):
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def i(self):
        value = self.u()
        return (value >> 1) ^ -(value & 1)

    def s(self):
        length = self.u()
        self.at += length
        return self.data[self.at - length:self.at].decode()

    def x(self):
        length = self.u()
        self.at += length
        return self.data[self.at - length:self.at]

    def o(self):
        return self.u() if self.b() else None

    def b(self):
        self.at += 1
        return self.data[self.at - 1]


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Trail:
    """The audit chain of one life: a record's tag is an HMAC over the tag before and the record, under a key that
    each record leaves behind."""

    def __init__(self, device_key, boot, nonce):
        self.key = hmac.digest(device_key, b"daur audit chain v1\0" + struct.pack(">IQ", boot, nonce), "sha256")
        self.tag, self.events, self.times, self.unix = bytes(32), [], [], None

    def check(self, entry):
        covered, tag = entry[:-32], entry[-32:]
        expected = hmac.digest(self.key, b"daur audit record v2\0" + self.tag + covered, "sha256")
        assert tag == expected, f"audit record {len(self.events) + 1} does not verify"
        self.key, self.tag = hmac.digest(self.key, b"daur audit ratchet v2\0", "sha256"), tag
        version, seq, length = struct.unpack(">BQB", covered[:10])
        at = 10 + length
        assert (version, seq, covered[10:at].decode()) == (1, len(self.events) + 1, DEVICE)
        self.times += struct.unpack(">Q", covered[at + 4:at + 12])
        at += 4 + 8
        knows = covered[at]
        assert knows or self.unix is None, "it has forgotten the time"
        if knows:
            unix, = struct.unpack(">Q", covered[at + 1:at + 9])
            assert unix >= (self.unix or 0), "time goes forward"
            self.unix = unix
            at += 8
        kind, outcome = covered[at + 1:at + 3]
        at += 3
        texts = []
        while at < len(covered):
            texts.append(covered[at + 1:at + 1 + covered[at]].decode())
            at += 1 + covered[at]
        self.events.append((kind, outcome, texts[0], texts[2]))


class Link:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.settimeout(0.1)
        self.buffer = b""
        self.expected = None
        self.crc_errors = self.frames = 0
        self.acks = True
        self.records = []
        self.audit = []
        self.seqs = []
        self.lives = 0

    def send(self, payload):
        self.socket.sendall(stuff(payload + struct.pack("<I", zlib.crc32(payload))) + b"\0")

    def command(self, token):
        self.said = b"\x01" + varint(len(token)) + token.encode()
        self.send(self.said)

    def receive(self):
        """Takes what has come: records in order and each once, as dictionaries in `records`."""
        try:
            self.buffer += self.socket.recv(4096)
        except TimeoutError:
            pass
        *stretches, self.buffer = self.buffer.split(b"\0")
        for stretch in filter(None, stretches):
            data = unstuff(stretch)
            if data is None or len(data) < 5 or zlib.crc32(data[:-4]) != struct.unpack("<I", data[-4:])[0]:
                self.crc_errors += 1
                continue
            reader = Reader(data[:-4])
            seq, at = reader.u(), reader.u()
            self.seqs.append(seq)
            kind, fields = RECORDS[reader.u()]
            record = {"seq": seq, "at": at, "record": kind}
            for field in fields.split():
                name, letter = field.split(":")
                record[name] = getattr(reader, letter)()
            assert reader.at == len(data) - 4, f"bytes are left over after {record}"
            if kind == "hello" and seq == 0:
                self.expected = 0
                self.lives += 1
            if seq != self.expected:
                continue  # sent again, or after a gap: comes again
            self.expected += 1
            self.frames += 1
            if kind == "audit":
                self.audit.append(record["entry"])
            if self.acks:
                self.send(b"\x00" + varint(seq))
            self.records.append(record)

    def until(self, what, seconds, test):
        """Receives until `test` gives something, which takes so long at most where QEMU has a CPU to itself."""
        seconds *= 20
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not self.records:
                self.receive()
            while self.records:
                record = self.records.pop(0)
                if test(record):
                    print(f"ok    {what}", flush=True)
                    return record
        raise SystemExit(f"FAIL  {what}: not within {seconds} s")


def text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(key, nonce, counter, command, permissions, device=DEVICE, **more):
    claims = {"sub": "ci", "jti": f"{nonce:016x}{counter:016x}", "aud": device, "permissions": permissions,
              "cmd": command, **more}
    signed = text(b'{"alg":"HS256","typ":"JWT"}') + "." + text(json.dumps(claims).encode())
    return signed + "." + text(hmac.digest(key, signed.encode(), "sha256"))


def reply(link, what, verdict):
    while True:
        record = link.until(what, 5, lambda r: r["record"] == "reply" and r)
        said = VERDICTS[record["verdict"]]
        if said == verdict:
            return record
        if said != "limited":
            raise SystemExit(f"FAIL  {what}: {said} instead of {verdict}")
        # More at a time than it looks at: once more, a little later. What comes meanwhile is acknowledged, or the
        # answer would find no room.
        end = time.monotonic() + 1
        while time.monotonic() < end:
            link.receive()
        link.send(link.said)


def stall(link, key, life, trail):
    """The wire stands still for longer than the watchdog waits: the node goes on, and what finds no room is told."""
    before = link.until("the sensor is read", 5, lambda r: r.get("name") == "reads")
    heard = len(link.audit)
    link.command(token(key, life["nonce"], 8, "stall 6000", ["admin"]))
    link.command(token(key, life["nonce"], 9, "set-interval 100", ["write"]))
    link.until("what a wire that stands still has no room for is told as lost", 14,
               lambda r: r["record"] == "lost" and r["count"] > 0)
    link.until("what was done meanwhile arrives", 8, lambda r: len(link.audit) >= heard + 2)
    for entry in link.audit[heard:]:
        trail.check(entry)
    (_, first, _, what), (_, second, _, then) = trail.events[-2:]
    assert (first, what, second, then) == (1, "stall 6000", 1, "set-interval 100"), trail.events
    begun, obeyed = trail.times[-2:]
    assert begun < obeyed < begun + 6_000_000_000, (begun, obeyed)
    print("ok    a command was obeyed meanwhile")
    after = link.until("the sensor is read again", 5,
                       lambda r: r.get("name") == "reads" and r["at"] > begun + 6_000_000_000)
    # Some 60, and fewer where QEMU has no CPU to itself.
    assert after["total"] - before["total"] >= 5, (before, after)
    assert link.lives == 2, "the watchdog was fed"
    print(f"ok    the sensor was read {after['total'] - before['total']} times meanwhile")


def hang(link, key, nonce, boot):
    """The bus ends no transfer any more."""
    link.command(token(key, nonce, 10, "hang", ["admin"]))
    hello = link.until("the watchdog resets a node that hangs", 10, lambda r: r["record"] == "hello" and r["seq"] == 0)
    assert (hello["boot"], hello["reset"]) == (boot + 1, 4), hello
    link.until("what was said last before it is told", 3,
               lambda r: r["record"] == "log_before" and r["message"] == "the bus hangs by command")
    link.until("and the sensor is read again", 5, lambda r: r.get("name") == "temperature_mc")


def journey(link):
    with open(os.path.join(EXAMPLE, "demo-fleet.key")) as file:
        fleet_key = bytes.fromhex(file.read())
    key = hmac.digest(fleet_key, b"daur device key v1\0" + DEVICE.encode(), hashlib.sha256)

    hello = link.until("the first frame says who speaks", 10, lambda r: r["record"] == "hello" and r["seq"] == 0)
    assert hello["device"] == DEVICE and hello["schema"] == 5, hello
    nonce = hello["nonce"]
    link.until("the sensor's temperature arrives", 5,
               lambda r: r.get("name") == "temperature_mc" and 20_000 <= r["value"] <= 25_200)

    link.command(token(key, nonce, 1, "set-interval 200", ["write"]))
    assert reply(link, "a signed command is accepted", "accepted")["counter"] == 1
    link.command(token(key, nonce, 1, "set-interval 200", ["write"]))
    reply(link, "the same command again is refused", "replayed")
    link.command(token(bytes(32), nonce, 2, "set-interval 200", ["write"]))
    reply(link, "another key's command is refused", "bad_signature")
    link.command(token(key, nonce, 3, "set-interval 200", ["write"], device="node-2"))
    reply(link, "another device's command is refused", "wrong_device")
    link.command(token(key, nonce, 4, "restart", ["write"]))
    reply(link, "a command without its permission is refused", "forbidden")
    link.command(token(key, nonce, 5, "explode", ["admin"]))
    reply(link, "an unknown command is refused", "unknown_command")

    now = int(time.time())
    day = 86_400  # more than any machine is late
    link.command(token(key, nonce, 6, "report", ["read"], exp=now + 3_600))
    reply(link, "one that may expire is refused while the time is not known", "no_clock")
    link.command(token(key, nonce, 6, f"set-time {now * 1_000}", ["write"]))
    reply(link, "a time without the permission to set it is refused", "forbidden")
    link.command(token(key, nonce, 7, f"set-time {now * 1_000}", ["admin"]))
    told = reply(link, "the time is set", "accepted")
    # The time of the answer, a moment later.
    assert 0 <= int(told["message"].removeprefix("time is ")) - now * 1_000 < day * 1_000, told
    link.command(token(key, nonce, 8, f"set-time {(now - day) * 1_000}", ["admin"]))
    back = reply(link, "and not set back", "failed")
    assert int(back["message"].removeprefix("time is ")) >= now * 1_000, back
    link.command(token(key, nonce, 9, f"set-time {now}", ["admin"]))
    reply(link, "seconds are no milliseconds", "invalid")
    link.command(token(key, nonce, 10, "report", ["read"], exp=now - day))
    reply(link, "one that has expired is refused", "expired")
    link.command(token(key, nonce, 10, "report", ["read"], nbf=now + day))
    reply(link, "one whose time has not come is refused", "expired")
    # What a newer host may say is passed over, and counted.
    link.send(b"\x09of a version to come")
    link.command(token(key, nonce, 10, "report", ["read"], exp=now + 3_600))
    reply(link, "one that has time is accepted", "accepted")
    link.until("what it did not know is counted", 5, lambda r: r.get("name") == "downlink_unknown" and r["total"] == 1)

    def state(wanted):
        return lambda r: r["record"] == "breaker" and STATES[r["state"]] == wanted
    link.until("the breaker opens while the bus is broken", 12, state("open"))
    link.until("the last good reading stands in", 5, lambda r: r.get("name") == "fallbacks" and r["total"] > 0)
    link.until("the breaker closes when the bus has healed", 14, state("closed"))

    link.acks = False
    # It begins again and again with what is not acknowledged; once a round brings nothing new, it has no room for more.
    end, before, highest, of_last_round, is_full = time.monotonic() + 7, -1, -1, -1, False
    while not is_full or time.monotonic() < end:
        link.seqs.clear()
        link.receive()
        for seq in link.seqs:
            if seq <= before:
                is_full, of_last_round = is_full or highest == of_last_round, highest
            before, highest = seq, max(highest, seq)
    link.acks = True
    # What was received meanwhile is acknowledged now, all of it.
    link.send(b"\x00" + varint(link.expected - 1))
    link.until("what a silent host has missed is told as lost", 8, lambda r: r["record"] == "lost" and r["count"] > 0)
    system = link.until("the stack's high-water mark arrives", 8, lambda r: r["record"] == "system")

    link.command(token(key, nonce, 11, "restart", ["admin"]))
    reply(link, "a restart is accepted", "accepted")
    again = link.until("a reset shows as a new life", 8, lambda r: r["record"] == "hello" and r["seq"] == 0)
    line = link.until("what was said last before the reset is told after it", 3,
                      lambda r: r["record"] == "log_before" and r["message"] == "reset by command" and r)
    assert (line["target"], line["level"], line["repeated"]) == ("node", 2, 0), line
    error = link.until("so is its last error, with its kind and its time", 3,
                       lambda r: r["record"] == "log_before" and r["level"] == 0 and r)
    kinds = {"i2c": "the sensor does not answer", "crc": "the sensor's checksum is wrong", "breaker": "the sensor is left alone"}
    assert kinds.get(error["target"]) == error["message"] and 0 < error["at"] <= error["last_at"] <= line["at"], error
    link.until("its clock begins anew", 3, lambda r: r["record"] == "system" and r["uptime"] < 3_000_000_000)
    assert again["boot"] == hello["boot"] + 1 and again["nonce"] != nonce and again["reset"] == 3, again
    first, second = Trail(key, hello["boot"], nonce), Trail(key, again["boot"], again["nonce"])
    link.command(token(key, nonce, 12, "report", ["read"]))
    reply(link, "a command for the life before is refused", "replayed")
    for entry in link.audit:
        trail = second if struct.pack(">I", again["boot"]) == entry[10 + entry[9]:14 + entry[9]] else first
        trail.check(entry)
    for trail in first, second:
        trail.events = [event for event in trail.events if event[3] != "limited"]
    start, command, denied = (1, 1, "", "power_on"), 4, 5  # kinds; an outcome of 1 is a success, 3 a refusal
    assert first.events == [start, (command, 1, "ci", "set-interval 200"),
                            (denied, 3, "ci", "replayed: set-interval 200"), (denied, 3, "", "bad_signature"),
                            (denied, 3, "", "wrong_device"), (denied, 3, "ci", "forbidden: restart"),
                            (denied, 3, "ci", "unknown_command: explode"),
                            (denied, 3, "", "no_clock"), (denied, 3, "ci", f"forbidden: set-time {now * 1_000}"),
                            (command, 1, "ci", f"set-time {now * 1_000}"),
                            (denied, 3, "ci", f"failed: set-time {(now - day) * 1_000}"),
                            (denied, 3, "ci", f"invalid: set-time {now}"), (denied, 3, "", "expired"),
                            (denied, 3, "", "expired"), (command, 1, "ci", "report"),
                            (command, 1, "ci", "restart")], first.events
    assert first.unix >= now * 1_000 and second.unix is None, (first.unix, second.unix)
    print("ok    its audit chain verifies, and tells the time")
    assert second.events == [(1, 1, "", "software"), (denied, 3, "ci", "replayed: report")], second.events
    print("ok    the new life has begun another, which verifies")
    assert link.crc_errors == 0, f"{link.crc_errors} check sums were wrong"
    stall(link, key, again, second)
    hang(link, key, again["nonce"], again["boot"])
    # The stall made it begin again, and the watchdog asked nobody: each may have cut a frame short.
    assert link.crc_errors <= 2, f"{link.crc_errors} check sums were wrong"
    print(f"ok    {link.frames} frames, no check sum wrong but of what was cut short")
    return system


def main():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # `wait=on`: the firmware starts when the host is there, so the first frame is not missed.
    qemu = subprocess.Popen([os.path.join(EXAMPLE, "qemu.sh"), sys.argv[1], "-serial",
                             f"tcp:127.0.0.1:{port},server=on,wait=on"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        for _ in range(1_200):
            try:
                link = Link(port)
                break
            except ConnectionRefusedError:
                time.sleep(0.1)
        else:
            raise SystemExit("FAIL  QEMU does not listen")
        system = journey(link)
    finally:
        qemu.terminate()
        log = qemu.communicate()[0].decode(errors="replace")
    if "sensor breaker: Closed -> Open" not in log or "panic" in log:
        raise SystemExit("FAIL  the log\n" + log)
    print("ok    the log is readable")
    print(f"stack {system['stack_high_water']}")


if __name__ == "__main__":
    main()
