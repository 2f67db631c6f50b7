"""FastMCP's client against errand-mcp: `fastmcp_client.py http URL TOKEN USER`, or `… stdio USER COMMAND ARGUMENTS…`.

A started command gets DATABASE_URL from this environment and nothing else. Prints one JSON object: what the client made of it.
"""

import asyncio
import json
import os
import sys

from fastmcp import Client
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport


async def main(kind: str, *rest: str) -> None:
    if kind == "http":
        url, token, user = rest
        transport = StreamableHttpTransport(url, auth=token)
    else:
        user, command, *arguments = rest
        environment = {"DATABASE_URL": os.environ["DATABASE_URL"]}
        transport = StdioTransport(command, arguments, env=environment, keep_alive=False)
    async with Client(transport, timeout=15) as client:
        tools = await client.list_tools()
        added = await client.call_tool("add_task", {"user_id": user, "title": "buy milk"})
        listed = await client.call_tool("list_tasks", {"user_id": user})
        foreign = await client.call_tool("list_tasks", {"user_id": "somebody else"}, raise_on_error=False)
        print(json.dumps({
            "tools": [tool.name for tool in tools],
            "added": added.structured_content,
            "listed": listed.structured_content,
            "foreign": [foreign.is_error, foreign.structured_content],
        }))


asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), 60))
