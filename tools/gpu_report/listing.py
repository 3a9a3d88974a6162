"""What the assembly listings of all targets have in common: loops, the share of fused
multiply-adds in the hot one, and counts of memory accesses by width."""

import collections
import re


USUAL_ITEMS = 256  # of a group where the kernel does not say: the launch path's choice


class Instruction:
    """One line of a listing: its mnemonic and the labels that it may jump to."""

    def __init__(self, mnemonic, targets=()):
        self.mnemonic = mnemonic
        self.targets = targets
        self.kind = ""  # "fma", "hint" (a wait or a no-op, not counted) or ""
        self.is_second = False  # of a pair in one word that is issued at once
        self.access = None  # ("global" or "local" or "private", "load" or "store", bits)


def loops(instructions, labels):
    """The loops as lists of the positions that belong to no loop inside them. A loop is what lies
    between a label and a jump back to it."""
    ends = {}
    for at, instruction in enumerate(instructions):
        for start in (labels[target] for target in instruction.targets if target in labels):
            if start <= at:
                ends[start] = max(at, ends.get(start, 0))
    spans = sorted(ends.items(), key=lambda span: span[1] - span[0])
    taken = set()
    result = []
    for start, end in spans:
        result.append([at for at in range(start, end + 1) if at not in taken])
        taken.update(range(start, end + 1))
    return result


def hot_loop(instructions, labels):
    """(FMA instructions, all instructions, issues with an FMA, all issues) of the loop that has the
    most FMAs outside the loops inside it; None if no loop has any. Waits, no-ops and scheduling hints
    are not counted. A pair that is issued at once is two instructions and one issue."""
    best = None
    for loop in loops(instructions, labels):
        counted = [instructions[at] for at in loop if instructions[at].kind != "hint"]
        fma = sum(1 for i in counted if i.kind == "fma")
        if fma > 0 and (best is None or fma > best[0]):
            issues = []
            for i in counted:
                if i.is_second:
                    issues[-1] = issues[-1] or i.kind == "fma"
                else:
                    issues.append(i.kind == "fma")
            best = (fma, len(counted), sum(issues), len(issues))
    return best


def accesses(instructions):
    """{"global": {"load": {bits: count}, "store": ...}, "local": ..., "private": ...}"""
    counts = {space: {"load": collections.Counter(), "store": collections.Counter()}
              for space in ("global", "local", "private")}
    for instruction in instructions:
        if instruction.access is not None:
            space, way, bits = instruction.access
            counts[space][way][bits] += 1
    return {space: {way: {str(bits): n for bits, n in sorted(c.items(), reverse=True)}
                    for way, c in ways.items()} for space, ways in counts.items()}


def summary(instructions, labels):
    """The part of a kernel's record that comes from its listing."""
    return {"instructions": len(instructions), "loop": hot_loop(instructions, labels),
            "access": accesses(instructions)}


def reqd_items(text, pattern):
    """Work-items of a group as the kernel's attribute has them, 0 without one."""
    match = re.search(pattern, text)
    if not match:
        return 0
    product = 1
    for number in re.findall(r"\d+", match.group(1)):
        product *= int(number)
    return product
