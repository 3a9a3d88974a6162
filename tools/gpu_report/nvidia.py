"""NVIDIA GPUs: clang to PTX, then NVIDIA's assembler, which allocates registers as the driver does."""

import math
import re

from gpu_report import listing

TARGETS = ("sm_75", "sm_86", "sm_90", "sm_120")
LIBRARY = "nvptx64--nvidiacl.bc"
WARP = 32
REGISTERS_OF_UNIT = 65536
# warps and bytes of local memory of a multiprocessor, bytes that a group takes beside its own
UNIT = {"sm_75": (32, 65536, 0), "sm_86": (48, 102400, 1024), "sm_90": (64, 233472, 1024),
        "sm_120": (48, 102400, 1024)}

MEMORY = re.compile(r"(LD|ST)(G|S|L)?(?=\.|$)((?:\.\w+)*)")
SPACES = {"G": "global", "S": "local", "L": "private", None: "global"}


def compile_program(tools, source, options, target, folder):
    ir, ptx, cubin = folder / "k.ll", folder / "k.ptx", folder / "k.cubin"
    machine = ["-S", "-target", "nvptx64--nvidiacl", "-Xclang", "-target-cpu", "-Xclang", "sm_75"]
    tools.run([tools.clang, *tools.front_end(options), *machine, "-emit-llvm", str(source),
               "-o", str(ir), "-Xclang", "-mlink-builtin-bitcode",
               "-Xclang", str(tools.library(LIBRARY))])
    tools.run([tools.clang, "-w", "-x", "ir", "-O3", *machine, "-Xclang", "-disable-llvm-passes",
               str(ir), "-o", str(ptx)])
    sizes = group_sizes(ir.read_text())
    ptx.write_text(with_group_sizes(ptx.read_text(), sizes))
    log = tools.run([tools.ptxas, "-v", "-arch=" + target, str(ptx), "-o", str(cubin)])
    code = tools.run([tools.nvdisasm, "-c", str(cubin)]) if tools.nvdisasm else ""
    records = {}
    for part in log.split("Compiling entry function '")[1:]:
        name = part.split("'")[0]
        record = read_listing(code, name) if code else {"instructions": None}
        items = math.prod(map(int, sizes[name])) if name in sizes else 0
        spill = [int(n) for n in re.findall(r"(\d+) bytes spill", part)]
        stack = re.search(r"(\d+) bytes stack frame", part)
        local = re.search(r"(\d+) bytes smem", part)
        record.update(registers=int(re.search(r"Used (\d+) registers", part).group(1)),
                      spill=sum(spill), private=int(stack.group(1)) if stack else 0,
                      local=int(local.group(1)) if local else 0, items=items)
        add_occupancy(record, target)
        records[name] = record
    return records


def group_sizes(ir):
    """{kernel: its required group size}. clang knows it, but does not write it to PTX."""
    numbers = {mark: re.findall(r"i32 (\d+)", text)
               for mark, text in re.findall(r"^(!\d+) = !\{(i32 \d+, i32 \d+, i32 \d+)\}", ir, re.M)}
    return {name: numbers[mark] for name, mark in re.findall(
        r"^define .*spir_kernel void @(\w+)\(.*!reqd_work_group_size (!\d+)", ir, re.M)}


def with_group_sizes(ptx, sizes):
    """The directive that NVIDIA's own compiler writes for kernels of a required group size."""
    for name, size in sizes.items():
        start = ptx.index("\n{", ptx.index(".entry %s(" % name))
        ptx = "%s\n.reqntid %s%s" % (ptx[:start], ", ".join(size), ptx[start:])
    return ptx


def add_occupancy(record, target):
    max_warps, local, extra = UNIT[target]
    warps = -(-(record["items"] or listing.USUAL_ITEMS) // WARP)
    registers = -(-record["registers"] * WARP // 256) * 256
    groups = min(max_warps // warps, REGISTERS_OF_UNIT // registers // warps)
    if record["local"]:
        groups = min(groups, local // (record["local"] + extra))
    record["groups"] = groups
    record["occupancy"] = "%d of %d warps" % (groups * warps, max_warps)


def read_listing(code, name):
    start = code.index("\n.text.%s:" % name)
    body = code[start:].split("//-----")[0]
    instructions, labels = [], {}
    for line in body.splitlines():
        label = re.match(r"(\.L_\w+):", line)
        code_line = re.match(r"\s+/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+ )?\s*([A-Z][\w.]*)(.*)", line)
        if label:
            labels[label.group(1)] = len(instructions)
        elif code_line:
            instructions.append(read_line(*code_line.groups()))
    return listing.summary(instructions, labels)


def read_line(mnemonic, rest):
    jumps = re.findall(r"`\((\.L_\w+)\)", rest) if mnemonic.startswith("BRA") else ()
    instruction = listing.Instruction(mnemonic, jumps)
    if mnemonic.split(".")[0] in ("FFMA", "FFMA2"):
        instruction.kind = "fma"
    elif mnemonic == "NOP":
        instruction.kind = "hint"
    memory = MEMORY.fullmatch(mnemonic)
    if memory:
        way, space, flags = memory.groups()
        width = re.search(r"\.[USB]?(128|96|64|16|8)\b", flags)
        instruction.access = (SPACES[space], "load" if way == "LD" else "store",
                              int(width.group(1)) if width else 32)
    return instruction
