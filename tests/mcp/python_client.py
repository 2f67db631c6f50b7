"""The official Python client against errand-mcp: `python_client.py URL TOKEN USER MODE`, MODE being auto or legacy.

Prints one JSON object: what the client made of it.
"""

import asyncio
import json
import sys

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client


async def main(url: str, token: str, user: str, mode: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=15) as http:
        async with Client(streamable_http_client(url, http_client=http), mode=mode, read_timeout_seconds=15) as client:
            tools = (await client.list_tools()).tools
            added = await client.call_tool("add_task", {"user_id": user, "title": "buy milk"})
            task_id = added.structured_content["task_id"]
            done = await client.call_tool("complete_task", {"user_id": user, "task_id": task_id})
            listed = await client.call_tool("list_tasks", {"user_id": user, "view": "completed"})
            foreign = await client.call_tool("list_tasks", {"user_id": "somebody else"})
            wrong = await client.call_tool("complete_task", {"user_id": user, "task_id": "1"})
            limited = None
            try:
                await client.call_tool("list_tasks", {"user_id": user})
            except MCPError as error:
                limited = {"message": str(error)}
            print(json.dumps({
                "protocol": client.protocol_version,
                "instructions": client.instructions,
                "tools": [tool.name for tool in tools],
                "added": added.structured_content,
                "done": done.structured_content,
                "listed": listed.structured_content,
                "foreign": [foreign.is_error, foreign.structured_content],
                "wrong": [wrong.is_error, wrong.structured_content],
                "limited": limited,
            }))


asyncio.run(asyncio.wait_for(main(*sys.argv[1:5]), 60))
