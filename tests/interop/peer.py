"""A tidegate.v1 session over a WebSocket, and the commands `serve` and `connect`; see README.md."""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

import codec
from session import Channel, Ended, Item, Session

Handler = Callable[[Channel], Awaitable[None]]
SETTINGS = {3: 1_048_576, 4: 524_288}  # initial_window, max_item_bytes
# No pings of RFC 6455 beside those of section 6.5; what is little above max_message_bytes is TOO_BIG and not 1009.
OPTIONS: dict[str, Any] = dict(
    subprotocols=[Subprotocol("tidegate.v1")], compression=None, ping_interval=None, max_size=131_072
)
ORIGINS = [None, re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")]  # None: who sends no Origin
COUNTED = bytes(i % 251 for i in range(300_000))
GREETING: list[Item] = ["hello from python", b"", COUNTED[:100_000]]
ITEMS: list[Item] = ["hello", "", "Grüße, 世界 𝄞" * 3_000, *(COUNTED[:size] for size in (0, 1, 65_536, 300_000))]


async def run(session: Session, socket: ClientConnection | ServerConnection, handler: Handler) -> None:
    """Runs a session until its connection ends; `handler` gets each channel that the peer opens."""

    async def handle(channel: Channel) -> None:
        with suppress(Ended):  # the peer gave it up, or the connection is lost
            await handler(channel)
        if channel.sending:
            channel.reset(1, codec.CANCELLED)
        channel.handled = True
        session.notify()

    async def read() -> None:
        with suppress(ConnectionClosed):
            async for message in socket:
                session.receive(message)
        session.ended = True
        session.notify()

    async with asyncio.TaskGroup() as tasks:
        session.handler = lambda channel: tasks.create_task(handle(channel))
        tasks.create_task(read())
        with suppress(ConnectionClosed):
            while not session.ended:
                changed = session.changed  # of before, so that nothing is missed meanwhile
                for message in session.messages():
                    await socket.send(message)
                if session.close_code:
                    await socket.close(session.close_code)
                due = session.due()
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), due - session.clock())
                if session.clock() > due + 2:
                    await asyncio.sleep(1)  # the machine slept: first look at what waits (section 6.5)


async def echo(channel: Channel) -> None:
    """Sends back each item of a channel, and CLOSE after the peer's CLOSE."""
    while (item := await channel.receive()) is not None:
        await channel.send(item)
    channel.close()


async def send_all(channel: Channel, items: list[Item]) -> None:
    for item in items:
        await channel.send(item)
    channel.close()


async def start_server(port: int = 0, handler: Handler = echo) -> tuple[Server, str]:
    """A server on the loopback interface, which opens `greeting`, and its URL; port 0 is any free one."""

    async def talk(socket: ServerConnection) -> None:
        session = Session(False, SETTINGS)
        running = asyncio.create_task(run(session, socket, handler))
        with suppress(Ended):  # who takes no channels gets none
            await session.until(lambda: not session.greeting)
            await send_all(session.open("greeting"), GREETING)
        await running

    server = await serve(talk, "127.0.0.1", port, origins=ORIGINS, **OPTIONS)
    return server, f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"


async def compare(channel: Channel, items: list[Item]) -> None:
    """Receives the items of a channel and its end; raises `Ended` if they are not `items`."""
    for number, wanted in enumerate([*items, None]):
        if (got := await channel.receive()) != wanted:
            raise Ended(f"item {number} of {channel.name}: {got!r:.60} and not {wanted!r:.60}")
    channel.close()


async def talk_to(url: str, greeting: bool = False) -> None:
    """All that `connect` does; raises what went wrong. `greeting`: the server is `serve`, whose channel must come."""
    session, opened = Session(True, SETTINGS), asyncio.Queue[Channel]()
    channel = session.open("echo")  # before WELCOME

    async def listen(channel: Channel) -> None:
        channel.close()
        opened.put_nowait(channel)
        await session.until(channel.over)

    async def talk() -> None:
        await asyncio.gather(send_all(channel, ITEMS), compare(channel, ITEMS))
        given_up = session.open("given up")
        await given_up.send("never mind")
        given_up.reset(3, codec.CANCELLED)
        session.send_ping()
        await session.until(lambda: given_up.over() and session.pongs)
        if greeting:
            await compare(await opened.get(), GREETING)
        session.draining = True  # GOAWAY (section 6.6): opens no more, takes no more
        count, times = session.next_id[False] >> 1, {"drain_ms": 0, "reconnect_after_ms": 0, "jitter_ms": 0}
        session.say("GOAWAY", channels=count, code=0, **times, reason="")
        session.say("ACK", rx=session.rx, delay_us=0)  # what it has: nothing is said after the close
        await session.until(lambda: not session.log)
        session.close_code = 4200
        session.notify()

    async with asyncio.timeout(30), connect(url, proxy=None, **OPTIONS) as socket:
        await asyncio.gather(run(session, socket, listen), talk())
    if socket.close_code != 4200 or socket.subprotocol != "tidegate.v1":
        raise Ended(f"{socket.subprotocol} ended with {socket.close_code}")


async def serve_for_ever(port: int) -> None:
    server, url = await start_server(port)
    print(f"listening on {url}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", *port]:
            asyncio.run(serve_for_ever(int(port[0]) if port else 0))
        case ["connect", url, *options]:
            try:
                asyncio.run(talk_to(url, "--greeting" in options))
                print("ok")
            except (Ended, OSError, WebSocketException) as error:
                sys.exit(f"differs: {type(error).__name__} {error}")
        case _:
            sys.exit("usage: peer.py serve [PORT] | connect URL [--greeting]")
