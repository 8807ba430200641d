"""Health check of a container: exit status 0 where the service's process answers at its port.

It asks /healthz, not /readyz: an engine may end a container that fails it, which mends nothing where the store is gone.
"""

from __future__ import annotations

import os
import ssl
import sys
import urllib.error
import urllib.request


def main() -> int:
    """Ask once; the exit status."""
    port = os.environ.get("ARBITRANK_SERVE_PORT", "8080")
    scheme = "https" if os.environ.get("ARBITRANK_SERVE_SSL_CERTFILE") else "http"
    itself = ssl._create_unverified_context()  # the certificate is not one of 127.0.0.1
    try:
        with urllib.request.urlopen(f"{scheme}://127.0.0.1:{port}/healthz", timeout=4, context=itself) as reply:
            return 0 if reply.status == 200 else 1
    except (OSError, urllib.error.URLError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
