"""A session of tidegate.v1 over a WebSocket, and the commands `serve` and `connect`; see README.md."""

import asyncio
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import websockets

from session import CANCELLED, ENDED, Channel, Item, Session

Socket = websockets.ClientConnection | websockets.ServerConnection
SETTINGS = {3: 1_048_576, 4: 524_288}  # initial_window, max_item_bytes
# No pings of RFC 6455 beside those of section 6.5; what is little above max_message_bytes is TOO_BIG and not 1009.
OPTIONS: dict[str, Any] = dict(subprotocols=["tidegate.v1"], compression=None, ping_interval=None, max_size=131_072)
ORIGINS = [None, re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")]  # None: who sends no Origin
COUNTED = bytes(i % 251 for i in range(300_000))
GREETING: list[Item] = ["hello from python", b"", COUNTED[:100_000], 0]
ITEMS: list[Item] = ["hello", "", "Grüße, 世界 𝄞" * 3_000, *(COUNTED[:size] for size in (0, 1, 65_536, 300_000)), 0]


async def run(session: Session, socket: Socket, step: Callable[[Session], object]) -> None:
    """Runs a session until its connection ends; `step` uses it after each message."""
    with suppress(websockets.ConnectionClosed):
        while True:
            step(session)
            for message in session.messages():
                await socket.send(message)
            if session.close_code:
                return await socket.close(session.close_code)
            with suppress(TimeoutError):
                async with asyncio.timeout((min(session.ping_at, session.dead_at) - session.now()) / 1e6):
                    session.receive(await socket.recv())


def echo(session: Session) -> None:
    """Opens `greeting`, and sends back each item of each channel, and the end behind them."""
    if session.state == "Open" and session.next_id[True] == 1 and session.may_open and not session.draining:
        Channel(session, mine=True, name="greeting", items=GREETING)
    for channel in session.channels.values():
        while channel.inbox and not channel.outbox:
            item, _ = channel.inbox.popleft()
            channel.outbox.extend([item] * channel.sending)


def check(session: Session, greeting: bool) -> Iterator[None]:
    """All that `connect` does, up to where it waits. `greeting`: the server is `serve`, whose channel must come."""
    Channel(session, mine=True, name="echo", items=ITEMS)  # before WELCOME
    for number, wanted in [(0, item) for item in ITEMS] + [(1, item) for item in GREETING if greeting]:
        while number not in session.channels or not session.channels[number].inbox:
            yield
        got, _ = session.channels[number].inbox.popleft()
        if got != wanted:
            sys.exit(f"differs: channel {number}: {got!r:.60} and not {wanted!r:.60}")
    given_up = Channel(session, mine=True, name="given up", items=["never mind"])
    yield
    given_up.end(3, CANCELLED)
    session.say("PING", t_us=session.now())
    while given_up.incoming != ENDED or not session.pongs:
        yield
    session.draining, session.handles = True, session.next_id[False] >> 1  # opens no more, takes no more
    session.say("GOAWAY", channels=session.handles)
    while session.unacked < session.tx_next:
        yield
    session.close_code = 4200


async def serve(port: str = "0") -> None:
    """Serves for ever on the loopback interface; port 0 is any free one."""
    async with websockets.serve(
        lambda socket: run(Session(False, SETTINGS), socket, echo), "127.0.0.1", int(port), origins=ORIGINS, **OPTIONS
    ) as server:
        print(f"listening on ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/", flush=True)
        await server.serve_forever()


async def connect(url: str, *options: str) -> None:
    """Says `ok` if the server at `url` does all that it should."""
    checking = check(session := Session(True, SETTINGS), "--greeting" in options)
    async with asyncio.timeout(30), websockets.connect(url, proxy=None, **OPTIONS) as socket:
        await run(session, socket, lambda _: next(checking, None))
    if (socket.subprotocol, session.close_code, socket.close_code) != ("tidegate.v1", 4200, 4200):
        sys.exit(f"differs: {socket.subprotocol} ended with {socket.close_code}")
    print("ok")


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    asyncio.run(serve(*arguments) if command == "serve" else connect(*arguments))
