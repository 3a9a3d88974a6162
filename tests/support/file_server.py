"""A web server on 127.0.0.1 for the tests of tools/fetch-data.

    file_server.py FOLDER LOG

Prints its port, then serves the files of FOLDER until its standard input ends (so it does not
outlive a test that is killed), and appends a line "METHOD PATH RANGE" to LOG for each request. The first part of the path is how it behaves:
    /good/NAME    serves NAME, from the middle if asked (Range)
    /plain/NAME   serves NAME, always from the start
    /drop/NAME    as good, but breaks off after at most a third of the file
    /silent/NAME  accepts the connection and says nothing
Anything else, and a file that is not there, is a 404.
"""

import http.server
import os
import re
import sys
import threading
import time

folder, log = sys.argv[1:]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        asked = self.headers.get("Range", "-")
        with open(log, "a") as file:
            file.write(f"{self.command} {self.path} {asked}\n")
        behaviour, _, name = self.path.lstrip("/").partition("/")
        path = os.path.join(folder, name)
        if behaviour == "silent":
            time.sleep(60)
            return
        if behaviour not in ("good", "plain", "drop") or not os.path.isfile(path):
            self.send_error(404)
            return
        with open(path, "rb") as file:
            data = file.read()
        size, start = len(data), 0
        match = re.fullmatch(r"bytes=(\d+)-", asked)
        if match and behaviour != "plain":
            start = int(match.group(1))
            if start >= size:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{size}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(size - start))
        self.end_headers()
        if self.command == "HEAD":
            return
        end = min(size, start + size // 3 + 1) if behaviour == "drop" else size
        self.wfile.write(data[start:end])
        self.close_connection = True

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
