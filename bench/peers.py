#!/usr/bin/env python3
"""Compares Ocelli with TensorFlow, PyTorch, onnxruntime and OpenBLAS, side by side; on Linux.

Every program runs in a process of its own and is stopped while another one works; they take turns,
and what counts is the median over the rounds. Each works with as many threads as the device has compute
units, and gets its inputs in host memory, as a user would feed it.

The machine should do nothing else.
"""

import argparse
import os
import sys
import time

import report
import sections
from workers import Failure, Worker

HERE = os.path.dirname(os.path.abspath(__file__))


class Run:
    """The programs, how they are started, and the depth of the run."""

    def __init__(self, arguments):
        self.quick = arguments.quick
        self.rounds = 5 if self.quick else 11
        self.build = arguments.build
        self.log = open(os.path.join(self.build, "peers.log"), "w", encoding="utf-8")
        self.device = [arguments.device, arguments.conv, arguments.gemm]
        self.passes = arguments.passes.split()
        self.match = arguments.match
        self.workers = {}
        self.about = {}
        self.families = {}  # what Ocelli said it set up last
        self.start("ocelli")
        self.threads = min(self.about["ocelli"]["units"], os.cpu_count())

    def fresh(self, name):
        """A new process of one of the programs."""
        if name == "ocelli":
            command = [os.path.join(self.build, "bench", "worker"), *self.device]
            return Worker(name, command, os.environ, self.log)
        environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"}
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[variable] = str(self.threads)
        # OpenMP's threads wait for each other in a loop: two on one processor lose whole slices
        environment.update(OMP_PROC_BIND="spread", OMP_PLACES="threads")
        script = os.path.join(HERE, "peer_%s.py" % name)
        command = [sys.executable, "-B", script, str(self.threads)]
        return Worker(name, command, environment, self.log)

    def start(self, name):
        """The long-lived process of a program."""
        if name not in self.workers:
            worker = self.fresh(name)
            self.workers[name] = worker
            self.about[name] = worker.request(do="about")
            worker.stop()
        return self.workers[name]

    def set_up(self, names, **request):
        """The workers of `names` that can do this, set up, and why others cannot:
        ([worker], {name: problem})."""
        able, problems = [], {}
        for name in names:
            worker = self.start(name)
            try:
                answer = worker.request(do="setup", **request)
                self.families[name] = answer.get("family", "")
                able.append(worker)
            except Failure as failure:
                if worker.process.poll() is not None:
                    raise
                problems[name] = str(failure)
            worker.stop()
        return able, problems

    def compared(self, names, **request):
        """The workers of `names` that can do this, set up: Ocelli, if it is one of them, must."""
        able, problems = self.set_up(names, **request)
        if "ocelli" in problems:
            raise Failure("Ocelli cannot do %s: %s" % (request, problems["ocelli"]))
        return able

    @staticmethod
    def progress(text):
        if sys.stderr.isatty():
            print("\r\x1b[K%s" % text, end="", file=sys.stderr, flush=True)

    def close(self):
        for worker in self.workers.values():
            worker.close()
        self.log.close()


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build", help="where Ocelli was built")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and shapes")
    parser.add_argument("--only", default="", help="these sections: %s" % " ".join(sections.ALL))
    parser.add_argument("--device", default="", help="Ocelli's device")
    parser.add_argument("--conv", default="auto", help="Ocelli's convolution family")
    parser.add_argument("--gemm", default="auto", help="Ocelli's GEMM family")
    parser.add_argument("--passes", default="fwd dgrad wgrad", help="of the convolutions")
    parser.add_argument("--match", default="", help="only shapes of the sweeps with this text")
    parser.add_argument("--out", help="write the tables, as Markdown, to this file")
    parser.add_argument("--command", default="make bench-peers", help="named in the tables")
    arguments = parser.parse_args()
    arguments.only = arguments.only.split() or list(sections.ALL)
    for name in arguments.only:
        if name not in sections.ALL:
            parser.error("no section %s (%s)" % (name, " ".join(sections.ALL)))
    return arguments


def main():
    arguments = parse()
    started = time.monotonic()
    run = Run(arguments)
    parts = []
    try:
        for name in arguments.only:
            print("%4.0f s  %s" % (time.monotonic() - started, name), file=sys.stderr)
            part = sections.ALL[name](run)
            print(part, flush=True)
            parts.append(part)
    finally:
        run.close()
    if arguments.out:
        head = report.head(run, arguments.command, time.monotonic() - started)
        with open(arguments.out, "w", encoding="utf-8") as out:
            out.write("\n".join([head, *parts]))


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit("bench-peers: %s" % failure)
