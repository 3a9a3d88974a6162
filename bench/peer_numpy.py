"""OpenBLAS's worker: matrix products through NumPy."""

import sys

import numpy as np
import peer

try:
    from threadpoolctl import threadpool_info  # names the library and its kernels
except ImportError:
    threadpool_info = list


def about():
    libraries = [
        "%s %s for %s" % (part["internal_api"], part["version"], part.get("architecture", "?"))
        for part in threadpool_info()
    ]
    return {"version": ", ".join(["NumPy %s" % np.__version__, *libraries])}


def set_up(request):
    if request["work"] != "gemm":
        raise ValueError("NumPy is measured on matrix products only")
    m, n, k, ta, tb = (request[key] for key in ("m", "n", "k", "ta", "tb"))
    a = peer.values(k, m).T if ta else peer.values(m, k)
    b = peer.values(n, k).T if tb else peer.values(k, n)
    out = np.empty((m, n), np.float32)
    return lambda: np.matmul(a, b, out=out)


assert len(sys.argv) == 2  # threads: OPENBLAS_NUM_THREADS says it to the library
peer.serve(about, set_up)
