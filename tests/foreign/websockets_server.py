"""A server of the Python package websockets, for `cargo xtask test proxies`: python websockets_server.py PORT"""

import asyncio
import sys
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import serve


def first(connection, offered):
    """The subprotocol that is offered first, if any is."""
    return offered[0] if offered else None


async def talk(connection):
    target = urlsplit(connection.request.path)
    query = {name: values[0] for name, values in parse_qs(target.query).items()}
    if target.path == "/echo":
        async for message in connection:
            await connection.send(message)
    elif target.path == "/fragments":
        await connection.send(["\U0001f30a one", "", " two", " three"])
        await connection.send([b"\x00\x01", b"\x02" * 70_000])
        await connection.wait_closed()
    elif target.path == "/pinged":
        # Done when the pong has come.
        await (await connection.ping(b"are you there?"))
        await connection.send("ponged")
        await connection.wait_closed()
    elif target.path == "/later":
        await asyncio.sleep(float(query["seconds"]))
        await connection.send("later")
        await connection.wait_closed()
    elif target.path == "/close":
        await connection.close(int(query["code"]), query.get("reason", ""))


async def main(port):
    options = {"select_subprotocol": first, "max_size": None, "ping_interval": None}
    async with serve(talk, "127.0.0.1", port, **options) as server:
        await server.serve_forever()


asyncio.run(main(int(sys.argv[1])))
