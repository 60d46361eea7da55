"""The yardstick: an aiohttp PUT handler that reads the body and does nothing else.

python -m bench.yardstick PORT
"""

import asyncio
import sys

import uvloop
from aiohttp import web


async def put(request: web.BaseRequest) -> web.Response:
    """Read and answer."""
    await request.read()
    return web.Response(body=b"{}", content_type="application/json")


async def serve(port: int) -> None:
    """Serve until the process is ended."""
    runner = web.ServerRunner(web.Server(put, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
