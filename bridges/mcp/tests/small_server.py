"""A small MCP server over standard input and output, on the standard library alone, that can die and hang.

    python small_server.py '{"name": "harbour", "tools": [{"name": "tides", "description": "High tide"}]}'

A call replies with the names, the arguments and the variable TOKEN; a tool with `does` "die" ends the server, "hang"
stops it from answering anything, "fail" reports an error. A server with `silent` never answers.
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
            tools = [{key: one[key] for key in shown if key in one} for one in settings["tools"]]
            half = len(tools) // 2  # two pages
            first = "cursor" not in params
            reply["result"] = {
                "tools": tools[:half] if first else tools[half:],
                **({"nextCursor": "2"} if first else {}),
            }
        elif method == "tools/call":
            tool = next(one for one in settings["tools"] if one["name"] == params["name"])
            does = tool.get("does")
            if does == "die":
                sys.exit(1)
            if does == "hang":
                hung = True
                continue
            arguments, token = json.dumps(params.get("arguments")), os.environ.get("TOKEN", "")
            text = f"{settings['name']}.{tool['name']} {arguments} {token}"
            reply["result"] = {"content": [{"type": "text", "text": text}], "isError": does == "fail"}
        else:
            reply["error"] = {"code": -32601, "message": "no such method"}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **reply}), flush=True)


if __name__ == "__main__":
    main()
