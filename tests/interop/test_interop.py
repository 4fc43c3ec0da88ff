"""Both ends of this peer against each other over loopback, and the vectors: `python -m unittest` in this folder."""

import unittest

import codec
import peer
import vectors
from session import Channel, Ended, Session


class Interop(unittest.IsolatedAsyncioTestCase):
    async def test_serve_and_connect_agree(self) -> None:
        server, url = await peer.start_server()
        async with server:
            await peer.talk_to(url, greeting=True)

    async def test_connect_says_what_a_faulty_echo_changed(self) -> None:
        async def lossy(channel: Channel) -> None:
            await peer.send_all(channel, ["hell"])

        server, url = await peer.start_server(handler=lossy)
        async with server:
            with self.assertRaisesRegex(Ended, "item 0 of echo: 'hell' and not 'hello'"):
                await peer.talk_to(url)

    def test_all_vectors_are_right(self) -> None:
        self.assertEqual(vectors.main(), 0)

    def test_a_silent_peer_is_pinged_and_then_dead(self) -> None:
        times = [1.0]
        session = Session(False, clock=lambda: times[-1])
        session.receive(codec.encode("HELLO", ver_min=1, ver_max=1, features=0, settings=[]))
        while not session.close_code:
            times.append(session.due())
            session.messages()
        self.assertEqual((times, session.close_code), ([1.0, 21.0, 41.0, 46.0], 4207))
