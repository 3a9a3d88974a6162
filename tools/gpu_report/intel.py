"""Intel GPUs: their production compiler, offline, which also writes its assembly listings."""

import os
import re

from gpu_report import listing

TARGETS = ("skl", "tgllp", "dg2-g10")  # Gen9, Gen12, DG2
LOCAL_OF_UNIT = 65536  # of a sub-slice
SYMBOLS = "Intel_Symbol_Table_Void_Program"  # listed among the kernels where there are constants
LOCAL, ARGUMENTS = 0xFE, 0xFD  # surfaces of local memory and of a thread's arguments

SURFACE = re.compile(r"(?:untyped surface|untyped|surface) (read|write) with (\w+)")
SCATTER = re.compile(r"(byte|dword|qword)[a-z ]* (?:gathering|scattering|gather|scatter)\w* ?(read|write)?")
BLOCK = re.compile(r"oword (?:aligned |unaligned )?block (read|write)")
LSC = re.compile(r"(load|store)\w*\.(ugm|slm|tgm)\.d(\d+)(?:u32)?(?:x(\d+)(t)?)?")


def compile_program(tools, source, options, target, folder):
    environment = dict(os.environ, IGC_ShaderDumpEnable="1", IGC_DumpToCustomDir=str(folder))
    tools.run([tools.ocloc, "compile", "-q", "-file", str(source), "-device", target, "-out_dir",
               str(folder), "--format", "zebin", "-options", " ".join(options)], environment)
    binary = next(folder.glob("*.bin")).read_bytes()
    info = re.search(rb"\nkernels:.*?(?=\nkernels_misc_info:|\n\.\.\.|\0)", binary, re.S)
    if not info:
        raise RuntimeError("ocloc's binary for %s has no list of kernels" % target)
    listings = read_listings(folder)
    records = {}
    for entry in re.split(r"\n  - name: +", info.group().decode())[1:]:
        name = entry.split()[0]
        if name == SYMBOLS:
            continue
        simd = int(re.search(r"simd_size: +(\d+)", entry).group(1))
        text = listings[name, simd]
        record = read_listing(text)
        local = re.search(r"slm_size: +(\d+)", entry)
        spill = re.search(r"^//\.spill size (\d+)", text, re.M)
        private = re.search(r"^//\.private memory size (\d+)", text, re.M)
        held = re.search(r"usage: +private_space\s+size: +(\d+)", entry)
        record.update(
            registers=int(re.search(r"grf_count: +(\d+)", entry).group(1)),
            spill=int(spill.group(1)) if spill else 0,
            private=int((private or held).group(1)) if private or held else 0,
            local=int(local.group(1)) if local else 0,
            items=listing.reqd_items(entry, r"required_work_group_size: +\[([^]]*)\]"),
            occupancy="SIMD%d" % simd)
        record["groups"] = (LOCAL_OF_UNIT // record["local"]) if record["local"] else None
        records[name] = record
    return records


def read_listings(folder):
    """{(kernel, SIMD width): text}. Where the compiler tried again with more in memory, that second
    try, whose files sort later, is what it took."""
    result = {}
    for path in sorted(folder.glob("*_simd*_entry_*.asm"),
                       key=lambda p: bool(re.search(r"_1_simd", p.name))):
        text = path.read_text(errors="replace")
        name = re.search(r"^//\.kernel (\S+)", text, re.M).group(1)
        simd = int(re.search(r"_simd(\d+)_", path.name).group(1))
        result[name, simd] = text
    return result


def read_listing(text):
    instructions, labels = [], {}
    for line in text.splitlines():
        label = re.match(r"(\w+):", line)
        code = re.match(  # DG2's jmpi has no lanes
            r"\s*(?:\([^)]*\)\s*)?([a-z][\w.]*(?= +\(\d)|jmpi) +(?:\((\d+)\|M\d+\))?(.*)", line)
        if label:
            labels[label.group(1)] = len(instructions)
        elif code:
            mnemonic, lanes, rest = code.groups()
            instructions.append(read_line(mnemonic, lanes or 1, rest))
    return listing.summary(instructions, labels)


def read_line(mnemonic, lanes, rest):
    jumps = ()
    if mnemonic in ("while", "jmpi", "goto", "brc", "brd"):
        jumps = re.findall(r"\b[A-Za-z_]\w*", rest.split("//")[0])
    instruction = listing.Instruction(mnemonic, jumps)
    if mnemonic in ("mad", "mac"):
        instruction.kind = "fma"
    elif mnemonic.startswith("sync"):
        instruction.kind = "hint"
    instruction.access = read_access(mnemonic, int(lanes), rest)
    return instruction


def read_access(mnemonic, lanes, rest):
    lsc = LSC.match(mnemonic)
    if lsc:
        way, space, bits, count, _ = lsc.groups()
        return ("local" if space == "slm" else "global", way, int(bits) * int(count or 1))
    if not mnemonic.startswith("send"):
        return None
    if "scratch" in rest:
        return ("private", "store" if "write" in rest else "load", 256)
    descriptor = re.search(r"0x([0-9A-Fa-f]+)\s+(?:\{|//)", rest)
    surface_index = int(descriptor.group(1), 16) & 0xFF if descriptor else 0
    if surface_index == ARGUMENTS:
        return None
    space = "local" if surface_index == LOCAL else "global"
    surface, scatter, block = SURFACE.search(rest), SCATTER.search(rest), BLOCK.search(rest)
    if surface:
        return (space, "load" if surface.group(1) == "read" else "store", 32 * len(surface.group(2)))
    if block:
        return (space, "load" if block.group(1) == "read" else "store", 128)
    if scatter:
        way = "store" if "write" in rest or "scatter" in scatter.group() else "load"
        if scatter.group(1) == "byte":
            return (space, way, 32 if "32b" in rest else 16 if "16b" in rest else 8)
        # one or more dwords a lane: the message's registers (of 256 bits) say how many
        registers = re.search(r"wr:\w+\+(\d+), rd:(\d+)", rest)
        count = int(registers.group(1 if way == "store" else 2)) if registers else 0
        return (space, way, count * 256 // max(lanes, 8))
    return None
