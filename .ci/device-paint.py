#!/usr/bin/env python3
"""Runs each image with its stack painted, and holds the depth it comes to against the bound of device-stack.py.

    device-paint.py OBJDUMP ELF..

The images never end, so each runs for a second of real time; on a slow machine it comes less far, which no bound minds.
"""

import concurrent.futures
import importlib.util
import pathlib
import subprocess
import sys
import tempfile
import time

BOARDS = {  # of a target: QEMU's machine, and the end of its RAM as measures/build.rs has it
    "thumbv6m-none-eabi": ("microbit", 0x2000_4000),
    "thumbv7m-none-eabi": ("mps2-an385", 0x2040_0000),
    "thumbv7em-none-eabihf": ("netduinoplus2", 0x2002_0000),
}
# How much below the end is painted and looked at: more than any image needs.
DEPTH = 0x3000
PAINT = b"\xa5"

spec = importlib.util.spec_from_file_location("stack", pathlib.Path(__file__).with_name("device-stack.py"))
stack = importlib.util.module_from_spec(spec)
spec.loader.exec_module(stack)


def painted(job):
    objdump, elf = job
    machine, end = BOARDS[next(part for part in pathlib.Path(elf).parts if part in BOARDS)]
    with tempfile.TemporaryDirectory() as folder:
        paint, dump = pathlib.Path(folder, "paint"), pathlib.Path(folder, "dump")
        paint.write_bytes(PAINT * DEPTH)
        emulator = subprocess.Popen(
            ["qemu-system-arm", "-machine", machine, "-display", "none", "-serial", "none", "-monitor", "stdio", "-kernel", elf]
            + ["-device", f"loader,file={paint},addr={end - DEPTH},force-raw=on"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        time.sleep(1)
        emulator.communicate(f'memsave {end - DEPTH} {DEPTH} "{dump}"\nquit\n', timeout=60)
        deep = len(dump.read_bytes().lstrip(PAINT))
    return elf, deep, stack.measure((objdump, elf))


def main():
    objdump, *elves = sys.argv[1:]
    faults, same = 0, 0
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for elf, deep, bound in pool.map(painted, ((objdump, elf) for elf in elves)):
            same += deep == bound
            if not 0 < deep <= bound:
                faults += 1
                print(f"FAIL  {elf}: {deep} bytes deep, the bound is {bound}")
    if faults or not elves:
        raise SystemExit(1)
    print(f"{len(elves)} images ran within their bounds, {same} of them as deep as these allow")


if __name__ == "__main__":
    main()
