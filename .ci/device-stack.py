#!/usr/bin/env python3
"""How deep the stack of each image can get, read off the very image that is weighed.

    device-stack.py OBJDUMP ELF..       prints `ELF BYTES` for each

Every function's instructions are followed from its start along every branch, and what they do to the stack pointer is
summed; a call costs what the called function takes at most, a call through a pointer what the dearest function takes
whose address stands anywhere in the image, but for those that would call what waits for them. So it is a bound on every
path, not what one run happened to use. What it cannot bound, such as a recursion, is an error. It begins at `main`: neither start-up nor what an exception pushes
(32 bytes, 104 with the registers of a floating point unit) is in it.
"""

import bisect
import concurrent.futures
import re
import struct
import subprocess
import sys

LINE = re.compile(r"^\s*([0-9a-f]+):\s+([a-z]\S*)\s*(.*)$")
CONDITION = "(?:eq|ne|hs|cs|lo|cc|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)"
CALL = re.compile(rf"blx?{CONDITION}?$")
JUMP = re.compile(rf"(?:b{CONDITION}?(?:\.[wn])?|cbn?z)$")
TARGET = re.compile(r"(?:^|, )0x([0-9a-f]+)")
WRITES_SP = re.compile(r"sp!|\[sp[^\]]*\]!|\[sp\], #")
# Functions that call themselves, by a part of their names, and how many times one may be entered before it returns.
RECURSIONS = {
    # Of `core::str`: leaves out an empty part at the end, then is as any other.
    ("SplitInternal", "next_back"): 2,
}


def immediate(text):
    return int(re.search(r"#(-?\w+)", text)[1], 0)


def listed(text):
    """How many registers `{r4-r7, lr}` names, in words."""
    words = 0
    for part in text[text.index("{") + 1 : text.index("}")].split(","):
        first, _, last = part.strip().partition("-")
        words += (int(last[1:]) - int(first[1:]) + 1 if last else 1) * (2 if first[0] == "d" else 1)
    return words


class Elf:
    """What is loaded, and where the functions are."""

    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        if data[:6] != b"\x7fELF\x01\x01":
            raise SystemExit(f"FAIL  {path} is no ELF of 32 bits")
        (offset,) = struct.unpack_from("<I", data, 32)
        size, count, names = struct.unpack_from("<3H", data, 46)
        heads = [struct.unpack_from("<10I", data, offset + size * i) for i in range(count)]

        def text(section, at):
            at += heads[section][4]
            return data[at : data.index(b"\0", at)].decode()

        self.sections, self.functions = [], {}
        for name, kind, flags, at, start, length, link, *_ in heads:
            if kind == 1 and flags & 2 and text(names, name) != ".vector_table":
                self.sections.append((at, data[start : start + length]))
            if kind == 2:  # the symbols
                for symbol in range(start, start + length, 16):
                    name, value, _, info, _, section = struct.unpack_from("<IIIBBH", data, symbol)
                    if info & 15 == 2 and section:
                        self.functions.setdefault(value & ~1, text(link, name))
                        if text(link, name) == "main":
                            self.main = value & ~1

    def word(self, address):
        for at, data in self.sections:
            if at <= address <= at + len(data) - 4:
                return struct.unpack_from("<i", data, address - at)[0]
        raise SystemExit(f"FAIL  {address:#x} is not loaded")

    def words(self):
        for at, data in self.sections:
            begin = -at % 4
            yield from (word for (word,) in struct.iter_unpack("<I", data[begin : begin + (len(data) - begin) // 4 * 4]))


class Again(Exception):
    """A function is called that waits for the one that calls it."""

    def __init__(self, caller, callee):
        self.caller, self.callee = caller, callee


class Image:
    def __init__(self, objdump, path):
        self.path, self.elf, self.known, self.pointers = path, Elf(path), {}, 0
        self.starts = sorted(self.elf.functions)
        self.code = {start: [] for start in self.starts}
        pointers, low = {word for word in self.elf.words() if word & 1}, {}
        run = subprocess.run([objdump, "-d", "--no-show-raw-insn", path], check=True, capture_output=True, text=True)
        for line in run.stdout.splitlines():
            if match := LINE.match(line):
                at, op, rest = int(match[1], 16), match[2], match[3].split("@")[0].strip()
                self.code.get(self.function(at), []).append((at, op, rest))
                # An address that is put together in a register.
                register = rest.split(",")[0]
                if op.startswith("movw"):
                    low[register] = immediate(rest)
                elif op.startswith("movt") and register in low:
                    pointers.add(low[register] | immediate(rest) << 16)
        self.pointed = [start for start in self.starts if start | 1 in pointers]

    def function(self, at):
        place = bisect.bisect_right(self.starts, at)
        return self.starts[place - 1] if place else None

    def fail(self, function, why):
        raise SystemExit(f"FAIL  {self.path}: {self.elf.functions[function]}: {why}")

    def depth(self, function, callers=()):
        """What a call of `function` takes at most."""
        if function in self.known:
            return self.known[function]
        callers = (*callers, function)
        frame, calls = self.frame(function)
        again = max((depth for depth, callee in calls if callee == function), default=0)
        if again:
            name = self.elf.functions[function]
            times = [times for parts, times in RECURSIONS.items() if all(part in name for part in parts)]
            if not times:
                self.fail(function, "calls itself")
            again *= times[0] - 1
        deepest, pointers = frame, self.pointers
        for depth, callee in calls:
            if callee is None:
                self.pointers += 1
                callees = [callee for callee in self.pointed if callee not in callers]
            elif callee == function:
                continue
            elif callee in callers:
                raise Again(function, callee)
            else:
                callees = [callee]
            for one in callees:
                try:
                    deepest = max(deepest, depth + self.depth(one, callers))
                except Again as again_of:
                    # What is called through a pointer is not what would call those that wait for it.
                    if callee is not None or again_of.callee not in callers:
                        raise
        if pointers == self.pointers:  # the same whoever calls
            self.known[function] = deepest + again
        return deepest + again

    def frame(self, function):
        """What `function` itself takes at most, and (depth, called function or None for a pointer) of its calls."""
        code = self.code[function]
        places = {at: i for i, (at, _, _) in enumerate(code)}
        depths, todo, calls, table = {}, [(0, 0)], set(), None
        while todo:
            i, depth = todo.pop()
            while i < len(code) and depths.get(i, -1) < depth:
                depths[i] = depth
                if depth > 1 << 20:
                    self.fail(function, "no end of its stack")
                at, op, rest = code[i]
                target = int(found[1], 16) if (found := TARGET.search(rest)) else None
                if CALL.match(op) and target in places and target != function:
                    todo.append((places[target], depth))  # the far jump of the small instruction set
                    break
                if CALL.match(op):
                    calls.add((depth, None if target is None else self.function(target)))
                elif JUMP.match(op):
                    if target in places:
                        todo.append((places[target], depth))
                    else:
                        calls.add((depth, self.function(target)))
                    if op in ("b", "b.w", "b.n"):
                        break
                elif op == "bx":
                    if rest != "lr" and not (i and code[i - 1][1].startswith("pop") and rest in code[i - 1][2]):
                        calls.add((depth, None))
                    break
                elif op == "udf" or op in ("pop", "pop.w") and "pc" in rest or op.startswith("ldr") and rest.startswith("pc, [sp]"):
                    break
                elif rest.startswith("pc,") or op in ("tbb", "tbh"):
                    table = max(depth, table or 0)
                    break
                depth += self.step(function, i)
                i += 1
            # Where a table of jumps leads is taken to be whatever nothing else leads to.
            if not todo and table is not None:
                todo = [(i, table) for i in range(len(code)) if i not in depths][:1]
        # The step of the last instruction of a path is none that grows.
        return max(depths.values(), default=0), calls

    def step(self, function, i):
        """How much deeper the stack is after the instruction."""
        _, op, rest = self.code[function][i]
        name = op.split(".")[0]
        if name in ("push", "vpush") or name == "stmdb" and rest.startswith("sp!"):
            return 4 * listed(rest)
        if name in ("pop", "vpop") or name in ("ldm", "ldmia") and rest.startswith("sp!"):
            return -4 * listed(rest)
        if name in ("str", "strd") and rest.endswith("]!") and "[sp, " in rest:
            return -immediate(rest)
        if name in ("ldr", "ldrd") and "[sp], #" in rest:
            return -immediate(rest)
        if rest.startswith("sp,"):
            if name in ("sub", "subw"):
                return immediate(rest) if "#" in rest else self.constant(function, i)
            if name in ("add", "addw"):
                return -(immediate(rest) if "#" in rest else self.constant(function, i))
            # Back to the frame's pointer, which only a return follows; before it, that is up to 7 bytes for the alignment.
            if name == "mov":
                return 0
            if re.match(rf"(add|addw){CONDITION}$", name):
                return 0
            if not name.startswith(("cmp", "tst", "st", "ld")):
                self.fail(function, f"not understood: {op} {rest}")
        elif WRITES_SP.search(rest):
            self.fail(function, f"not understood: {op} {rest}")
        return 0

    def constant(self, function, i):
        """What is in the register that is added, loaded from a word beside the code."""
        register = re.split(r",\s*", self.code[function][i][2])[-1]
        for at, op, rest in reversed(self.code[function][:i]):
            if rest.startswith(register + ","):
                if op.startswith("ldr") and "[pc" in rest:
                    return self.elf.word((at + 4 & ~3) + immediate(rest))
                break
        self.fail(function, f"{register} is not known")


def measure(job):
    image = Image(*job)
    try:
        return image.depth(image.elf.main)
    except Again as again:
        image.fail(again.caller, f"calls {image.elf.functions[again.callee]}, which waits for it")


def main():
    objdump, *paths = sys.argv[1:]
    if not paths:
        raise SystemExit("FAIL  no images")
    with concurrent.futures.ProcessPoolExecutor() as pool:
        for path, depth in zip(paths, pool.map(measure, ((objdump, path) for path in paths))):
            print(path, depth)


if __name__ == "__main__":
    main()
