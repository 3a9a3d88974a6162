"""Worker processes that measure one at a time: all others are stopped."""

import json
import os
import signal
import statistics
import subprocess
import time

WARM_UP = 3e-3  # seconds


class Failure(Exception):
    """A worker could not do what was asked."""


class Worker:
    """A process that speaks the protocol of worker.c."""

    def __init__(self, name, command, environment, log):
        self.name = name
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            text=True,
        )
        self.answered = self.started
        self.stopped = False

    def request(self, **request):
        self.go_on()
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Failure("%s ended with %s" % (self.name, self.process.wait()))
        self.answered = time.perf_counter()
        answer = json.loads(line)
        if "error" in answer:
            raise Failure("%s: %s" % (self.name, answer["error"]))
        return answer

    def seconds(self, runs):
        """Seconds of one run, the mean of `runs`."""
        return self.request(do="time", runs=runs)["seconds"] / runs

    def time_since_start(self):
        """Seconds from the start of the process to its last answer."""
        return self.answered - self.started

    def stop(self):
        """Threads that wait in a loop for more work, as OpenBLAS's do for a while, would take the
        others' time."""
        if not self.stopped:
            os.kill(self.process.pid, signal.SIGSTOP)
            self.stopped = True

    def go_on(self):
        if self.stopped:
            os.kill(self.process.pid, signal.SIGCONT)
            self.stopped = False

    def peak_memory(self):
        """Bytes of memory that the process had at its peak (VmHWM)."""
        with open("/proc/%d/status" % self.process.pid, encoding="ascii") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        raise Failure("no VmHWM of %s" % self.name)

    def close(self):
        self.go_on()
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def calibrate(worker):
    """Seconds of one run, roughly, once caches are warm and all threads awake."""
    runs = 1
    while True:
        once = worker.seconds(runs)
        if once * runs >= WARM_UP or runs >= 1 << 16:
            return once
        runs *= 4


def interleave(workers, rounds, least):
    """Times what the workers have set up in turns, A B A B: {name: [seconds of one run]}, one value
    a round, each over at least `least` seconds and after a warm-up, as the others' work has emptied
    its caches and its threads are asleep."""
    runs, warm, samples = {}, {}, {worker.name: [] for worker in workers}
    for worker in workers:
        once = calibrate(worker)
        runs[worker.name] = max(1, round(least / once))
        warm[worker.name] = max(1, round(WARM_UP / once))
        worker.stop()
    for _ in range(rounds):
        for worker in workers:
            worker.seconds(warm[worker.name])
            samples[worker.name].append(worker.seconds(runs[worker.name]))
            worker.stop()
    return samples


def medians(samples):
    return {name: statistics.median(values) for name, values in samples.items()}
