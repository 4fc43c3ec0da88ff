"""A tidegate.v1 session over a WebSocket, and the commands `serve` and `connect`; see README.md."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

import codec
from session import Channel, Incoming, Item, Session

SETTINGS = {3: 1_048_576, 4: 524_288}  # initial_window, max_item_bytes
# No pings of RFC 6455 beside those of section 6.5; what is little above max_message_bytes is TOO_BIG and not 1009.
OPTIONS: dict[str, Any] = {
    "subprotocols": [Subprotocol("tidegate.v1")], "compression": None, "ping_interval": None, "max_size": 131_072
}  # fmt: skip
ORIGINS = [None, re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")]  # None: who sends no Origin


def counted(size: int) -> bytes:
    """A binary item of `size` bytes: byte i is i modulo 251."""
    return bytes(i % 251 for i in range(size))


GREETING: list[Item] = ["hello from python", b"", counted(100_000)]
ITEMS: list[Item] = ["hello", "", "Grüße, 世界 𝄞" * 3_000, *map(counted, (0, 1, 65_536, 300_000))]


class Ended(Exception):
    """What was waited for cannot come any more, or is not what was expected; the text says why."""


class Peer:
    """Drives a session: one task reads, one writes, a timer ticks, and each channel of the peer's has a handler."""

    def __init__(self, socket: ClientConnection | ServerConnection, client: bool) -> None:
        self.loop = asyncio.get_running_loop()
        self.socket, self.session, self.over = socket, Session(client, self.loop.time(), SETTINGS), False
        self.changed, self.timer = asyncio.Event(), self.loop.call_soon(self.tick)

    def tick(self) -> None:
        """The timer: lets the session do what is due."""
        self.session.tick(self.loop.time())
        self.notify()

    def notify(self) -> None:
        """Wakes all that wait and sets the timer anew: to be called after every change of the session."""
        self.changed.set()
        self.changed = asyncio.Event()
        self.timer.cancel()
        if not self.over and self.loop.time() < self.session.deadline():
            self.timer = self.loop.call_at(self.session.deadline(), self.tick)

    async def until(self, holds: Callable[[], object]) -> None:
        """Waits until `holds`; raises `Ended` if the connection is lost first."""
        while not holds():
            if self.over:
                raise Ended(f"closed with {self.socket.close_code} {self.socket.close_reason}")
            await self.changed.wait()

    async def run(self, handler: Callable[[Peer, Channel], Awaitable[None]]) -> None:
        """Runs the session until its connection ends; `handler` gets each channel that the peer opens."""
        tasks = {asyncio.create_task(self.write())}
        try:
            async for message in self.socket:
                self.session.receive(message, self.loop.time())
                while self.session.opened:
                    tasks.add(asyncio.create_task(self.handle(handler, self.session.opened.popleft())))
                self.notify()
        except ConnectionClosed:
            pass  # the close code says it
        finally:
            self.over = True
            self.notify()
            await asyncio.gather(*tasks)

    async def write(self) -> None:
        """Sends what there is, and closes when the session says so."""
        try:
            while not self.over:
                while (message := self.session.poll(self.loop.time())) is not None:
                    self.notify()
                    await self.socket.send(message)
                if self.session.close_code:
                    return await self.socket.close(self.session.close_code)
                await self.changed.wait()
        except ConnectionClosed:
            pass  # the reader sees it, too

    async def handle(self, handler: Callable[[Peer, Channel], Awaitable[None]], channel: Channel) -> None:
        try:
            await handler(self, channel)
        except Ended:
            pass  # the peer gave it up
        finally:
            self.session.handler_stopped(channel)
            self.notify()

    async def receive(self, channel: Channel) -> Item | None:
        """The next item, None behind the last; raises `Ended` after a RESET."""
        await self.until(lambda: channel.inbox or channel.incoming in (Incoming.ENDED, Incoming.DISCARDING))
        if channel.inbox:
            item = channel.take()
            self.notify()
            return item
        if channel.reset_code or channel.incoming is Incoming.DISCARDING:
            raise Ended(f"channel {channel.name!r} was reset with {channel.reset_code}")
        return None

    async def send(self, channel: Channel, items: list[Item], close: bool = False) -> None:
        """Sends items, with one at most waiting behind the one that is being sent, and CLOSE behind them if wanted.

        An item above the limit waits for ACCEPT, which may raise it (section 7.2); raises `Ended` if it did not."""
        for item in items:
            size = len(item.encode() if isinstance(item, str) else item)
            await self.until(lambda: size <= channel.item_limit or channel.accepted or not channel.mine)
            await self.until(lambda: len(channel.queue) < 2 or not channel.sending)
            try:
                channel.send(item)
            except ValueError as error:
                raise Ended(str(error)) from None
            self.notify()
        channel.closing = close or channel.closing
        self.notify()


async def echo(peer: Peer, channel: Channel) -> None:
    """Sends back each item of a channel, and CLOSE after the peer's CLOSE."""
    while (item := await peer.receive(channel)) is not None:
        await peer.send(channel, [item])
    await peer.send(channel, [], close=True)


async def start_server(handler: Callable[[Peer, Channel], Awaitable[None]], port: int = 0) -> Server:
    """A server on the loopback interface; port 0 is any free one."""

    async def greet(peer: Peer) -> None:
        try:
            await peer.until(lambda: not peer.session.greeting)
            await peer.send(peer.session.open("greeting"), GREETING, close=True)
        except (Ended, ValueError) as error:
            print(f"no greeting: {error}", file=sys.stderr)

    async def talk(socket: ServerConnection) -> None:
        peer = Peer(socket, client=False)
        await asyncio.gather(peer.run(handler), greet(peer))

    return await serve(talk, "127.0.0.1", port, origins=ORIGINS, **OPTIONS)


def address(server: Server) -> str:
    return f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"


def same(what: str, got: object, wanted: object) -> None:
    """Raises `Ended` unless `got` is `wanted`."""
    if got != wanted:
        raise Ended(f"{what}: {got!r:.60} and not {wanted!r:.60}")


async def talk_to(url: str, greeting: bool = False) -> None:
    """All that `connect` does; raises what went wrong. `greeting`: the server is `serve`, whose channel must come."""
    greetings: list[Item | None] = []

    async def listen(peer: Peer, channel: Channel) -> None:
        await peer.send(channel, [], close=True)
        while (item := await peer.receive(channel)) is not None:
            greetings.append(item)
        greetings.append(None)

    async with asyncio.timeout(30), connect(url, proxy=None, **OPTIONS) as socket:
        peer = Peer(socket, client=True)
        session = peer.session
        same("subprotocol", socket.subprotocol, "tidegate.v1")
        channel = session.open("echo")  # before WELCOME
        running = asyncio.create_task(peer.run(listen))
        sending = asyncio.create_task(peer.send(channel, ITEMS, close=True))
        try:
            for number, item in enumerate(ITEMS):
                same(f"item {number}", await peer.receive(channel), item)
            same("behind the last item", await peer.receive(channel), None)
            await sending
            given_up = session.open("given up")
            await peer.send(given_up, ["never mind"])
            session.reset(given_up, 3, codec.CANCELLED)
            await peer.until(lambda: given_up.number not in session.channels)
            session.send_ping()
            peer.notify()
            await peer.until(lambda: session.pongs)
            await peer.until(lambda: None in greetings or not greeting)
            same("greeting", greetings, [*GREETING, None] if greeting else greetings)
            session.goaway()
            peer.notify()
        finally:
            sending.cancel()
            session.close_code = session.close_code or (0 if session.draining else 4200)
            peer.notify()
            await running
        same("close code", socket.close_code, 4200)


async def command(name: str = "", *arguments: str) -> None:
    """`serve [PORT]` or `connect URL [--greeting]`."""
    if name == "serve":
        server = await start_server(echo, int(arguments[0]) if arguments else 0)
        print(f"listening on {address(server)}", flush=True)
        await server.serve_forever()
    elif name == "connect" and arguments:
        try:
            await talk_to(arguments[0], "--greeting" in arguments)
            print("ok")
        except (Ended, ValueError, OSError, WebSocketException) as error:
            sys.exit(f"differs: {type(error).__name__} {error}")
    else:
        sys.exit(f"usage: peer.py {command.__doc__}")


if __name__ == "__main__":
    asyncio.run(command(*sys.argv[1:]))
