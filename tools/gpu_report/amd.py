"""AMD GPUs: clang's own code generator, which is also that of ROCm's OpenCL compiler."""

import re

from gpu_report import listing

TARGETS = ("gfx906", "gfx1030", "gfx1100")
MAX_WAVES = {"gfx906": 10, "gfx1030": 16, "gfx1100": 16}  # of a SIMD unit
LOCAL_OF_UNIT = 65536  # of a compute unit
SIMD_UNITS = {"gfx906": 4, "gfx1030": 2, "gfx1100": 2}  # of a compute unit
WAVE = {"gfx906": 64, "gfx1030": 32, "gfx1100": 32}
LIBRARY = "amdgcn--amdhsa.bc"

FMA = re.compile(r"v_(pk_|dual_)?(fma|fmac|mac|mad|fmaak|fmamk|madak|madmk)_f32")
HINT = re.compile(r"s_(waitcnt|nop|delay_alu|clause|inst_prefetch|code_end)")
MEMORY = re.compile(
    r"(global|flat|buffer|scratch|ds)_(read|load|write|store)(2|_2addr)?(?:st64|_stride64)?_(\w+)")
WIDTHS = {"dwordx4": 128, "dwordx3": 96, "dwordx2": 64, "dword": 32, "b128": 128, "b96": 96,
          "b64": 64, "b32": 32}


def compile_program(tools, source, options, target, folder):
    """Returns the records of all kernels of the program, by name."""
    output = folder / "k.s"
    tools.run([tools.clang, *tools.front_end(options), "-S", str(source), "-o", str(output),
               "-target", "amdgcn-amd-amdhsa", "-mcpu=" + target, "-nogpulib",
               "-Xclang", "-mlink-builtin-bitcode", "-Xclang", str(tools.library(LIBRARY)),
               # as ROCm's OpenCL compiler has it: every function becomes part of its kernel
               "-mllvm", "-amdgpu-early-inline-all=true", "-mllvm", "-amdgpu-function-calls=false"])
    text = output.read_text()
    records = {}
    kernels = re.search(r"^amdhsa\.kernels:(.*?)^\w", text, re.S | re.M).group(1)
    for entry in re.split(r"^  - ", kernels, flags=re.M)[1:]:
        numbers = dict(re.findall(r"\.(\w+): +(\d+)", entry))
        name = re.search(r"\.symbol: +(\w+)\.kd", entry).group(1)
        items = listing.reqd_items(entry, r"\.reqd_workgroup_size:((?:\s+- \d+){3})")
        record = read_listing(text, name)
        record.update(
            registers=int(numbers["vgpr_count"]),
            # scalar registers spill to lanes of vector registers, not to memory
            spill=4 * int(numbers["vgpr_spill_count"]),
            private=int(numbers["private_segment_fixed_size"]),
            local=int(numbers["group_segment_fixed_size"]),
            items=items)
        add_occupancy(record, target)
        records[name] = record
    return records


def add_occupancy(record, target):
    waves = record.pop("waves")
    of_group = -(-(record["items"] or listing.USUAL_ITEMS) // WAVE[target])
    record["occupancy"] = "%d of %d waves" % (waves, MAX_WAVES[target])
    record["groups"] = waves * SIMD_UNITS[target] // of_group
    if record["local"]:
        record["groups"] = min(record["groups"], LOCAL_OF_UNIT // record["local"])


def read_listing(text, name):
    start = text.index("\n%s:" % name)
    end = text.index(".end_amdhsa_kernel", start)
    body = text[start:end]
    instructions, labels = [], {}
    for line in body[:body.index(".section")].splitlines():
        line = line.split(";")[0].strip() if not line.startswith(".LBB") else line
        label = re.match(r"(\.LBB\w+):", line)
        if label:
            labels[label.group(1)] = len(instructions)
        elif re.match(r"[a-z]+_", line):
            first, *second = line.split(" :: ")  # two in one word
            instructions.append(read_line(first))
            for half in second:
                instructions.append(read_line(half))
                instructions[-1].is_second = True
    record = listing.summary(instructions, labels)
    record["waves"] = int(re.search(r"; Occupancy: (\d+)", text[start:]).group(1))
    return record


def read_line(line):
    words = line.split()
    jumps = words[1:2] if re.match(r"s_c?branch", words[0]) else ()
    instruction = listing.Instruction(words[0], jumps)
    if FMA.match(words[0]):
        instruction.kind = "fma"
    elif HINT.match(words[0]):
        instruction.kind = "hint"
    memory = MEMORY.match(words[0])
    if memory:
        space, way, twice, width = memory.groups()  # OpenCL compilers use buffer_ for the stack only
        bits = next((WIDTHS[w] for w in (width, width.replace("_e32", "")) if w in WIDTHS),
                    16 if re.search(r"short|16", width) else 8)
        if twice:
            bits *= 2
        instruction.access = ({"ds": "local", "scratch": "private", "buffer": "private"}.get(space, "global"),
                              "load" if way in ("read", "load") else "store", bits)
    return instruction
