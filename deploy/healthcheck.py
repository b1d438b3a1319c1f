#!/usr/bin/env python3
"""Whether the service in this container answers: exit status 0, or 1 and the reason on stderr.

    maeum-healthy PORT PATH        e.g. MAEUM_SERVE_PORT /health

PORT is a number, or the variable that the service itself reads it from. Python's own library only: the image has no curl.
"""

import os
import sys
import urllib.request

port, path = sys.argv[1:]
url = f"http://127.0.0.1:{os.environ.get(port, port)}{path}"
try:
    # proxies of the environment are for the world outside, not for this container's own port
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(url, timeout=4).close()
except OSError as error:  # refused, timed out, or an answer of 4xx or 5xx
    sys.stderr.write(f"{url}: {error}\n")
    sys.exit(1)
