"""A small MCP server over standard input and output, on the standard library alone, that can die and hang.

    python small_server.py '{"name": "harbour", "tools": [{"name": "tides", "description": "High tide"}]}'

A call replies with the names, the arguments and the variable TOKEN; a tool with `does` "die" ends the server, "hang"
stops it from answering anything, "fail" reports an error, "garble" writes what is no message first, "malform" replies
with what is no result, "grow" lists one tool more from then on and says so many times. A server with `silent` never
answers, one that is `endless` says of each page of tools that another follows.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def main() -> None:
    settings = json.loads(sys.argv[1])
    hung = bool(settings.get("silent"))
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message or hung:
            continue
        method, params = message["method"], message.get("params", {})
        reply: dict[str, Any] = {}
        if method == "initialize":
            info = {"name": "small", "version": "1"}
            reply["result"] = {
                "protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": info,
            }  # fmt: skip
        elif method == "tools/list":
            shown = ("name", "description", "inputSchema")
            tools = [
                {key: one[key] for key in shown if key in one} if isinstance(one, dict) else one
                for one in settings["tools"]
            ]
            half = len(tools) // 2  # two pages
            first = "cursor" not in params
            reply["result"] = {
                "tools": tools[:half] if first else tools[half:],
                **({"nextCursor": "2"} if first or settings.get("endless") else {}),
            }
        elif method == "tools/call":
            named = (one for one in settings["tools"] if isinstance(one, dict) and one.get("name") == params["name"])
            tool = next(named)
            does = tool.get("does")
            if does == "die":
                sys.exit(1)
            if does == "hang":
                hung = True
                continue
            if does == "garble":
                sys.stdout.buffer.write(b"no message\n\xff\xfe\n{}\n[]\n" + b"x" * 1_000_000 + b"\n")
                sys.stdout.buffer.flush()
            if does == "grow":
                settings["tools"].append({"name": f"grown{len(settings['tools'])}", "description": "A later tool"})
                for _ in range(50):
                    changed = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
                    print(json.dumps(changed), flush=True)
            arguments, token = json.dumps(params.get("arguments")), os.environ.get("TOKEN", "")
            text = f"{settings['name']}.{tool['name']} {arguments} {token}"
            reply["result"] = {"content": [{"type": "text", "text": text}], "isError": does == "fail"}
            if does == "malform":
                reply["result"] = {"content": "no list"}
        else:
            reply["error"] = {"code": -32601, "message": "no such method"}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **reply}), flush=True)


if __name__ == "__main__":
    main()
