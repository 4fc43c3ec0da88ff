"""Both ends of this peer against each other over loopback, and the vectors: `python -m unittest` in this folder."""

import asyncio
import sys
import unittest

import codec
import peer
import vectors
from session import Channel, Session


class Interop(unittest.IsolatedAsyncioTestCase):
    async def test_serve_and_connect_agree_as_processes(self) -> None:
        pipe = asyncio.subprocess.PIPE
        server = await asyncio.create_subprocess_exec(sys.executable, peer.__file__, "serve", stdout=pipe)
        try:
            assert server.stdout
            url = (await server.stdout.readline()).decode().removeprefix("listening on ").strip()
            arguments = ("connect", url, "--greeting")
            client = await asyncio.create_subprocess_exec(sys.executable, peer.__file__, *arguments, stdout=pipe)
            self.assertEqual(((await client.communicate())[0], client.returncode), (b"ok\n", 0))
        finally:
            server.kill()
            await server.wait()

    async def test_connect_says_what_a_faulty_echo_changed(self) -> None:
        async def lossy(end: peer.Peer, channel: Channel) -> None:
            while (item := await end.receive(channel)) is not None:
                await end.send(channel, [item[:-1]])

        server = await peer.start_server(lossy)
        with self.assertRaisesRegex(peer.Ended, "item 0: 'hell' and not 'hello'"):
            await peer.talk_to(peer.address(server))
        server.close()
        await server.wait_closed()

    def test_all_vectors_are_right(self) -> None:
        self.assertEqual(vectors.main(), 0)

    def test_a_silent_peer_is_pinged_and_then_dead(self) -> None:
        session = Session(False, 0.0)
        session.receive(codec.encode("HELLO", ver_min=1, ver_max=1, features=0, settings=[]), 1.0)
        times = []
        while not session.close_code:
            self.assertIsNotNone(session.poll(session.now))
            times.append(session.deadline())
            session.tick(session.deadline())
        self.assertEqual((times, session.close_code), ([21.0, 41.0, 46.0], 4207))
