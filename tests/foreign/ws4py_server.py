"""A server of the Python package ws4py, for `cargo xtask test proxies`: python ws4py_server.py PORT"""

import sys
import threading
from urllib.parse import parse_qs
from wsgiref.simple_server import make_server

from ws4py.server.wsgirefserver import WebSocketWSGIRequestHandler, WSGIServer
from ws4py.server.wsgiutils import WebSocketWSGIApplication
from ws4py.websocket import WebSocket


class Talk(WebSocket):
    """One connection. The manager's thread calls it."""

    def opened(self):
        self.path = self.environ["PATH_INFO"]
        query = {name: values[0] for name, values in parse_qs(self.environ["QUERY_STRING"]).items()}
        if self.path == "/fragments":
            self.send(part for part in ["\U0001f30a one", "", " two", " three"])
            self.send((part for part in [b"\x00\x01", b"\x02" * 70_000]), binary=True)
        elif self.path == "/pinged":
            self.ping("are you there?")
        elif self.path == "/later":
            threading.Timer(float(query["seconds"]), self.send, ["later"]).start()
        elif self.path == "/close":
            self.close(int(query["code"]), query.get("reason", ""))

    def ponged(self, pong):
        self.send("ponged" if pong.data == b"are you there?" else f"{pong.data}")

    def received_message(self, message):
        if self.path == "/echo":
            self.send(message.data, message.is_binary)


class QuietHandler(WebSocketWSGIRequestHandler):
    def log_message(self, *message):
        pass


class Application(WebSocketWSGIApplication):
    """Chooses the subprotocol that is offered first; ws4py itself would name every one that it knows."""

    def __call__(self, environ, start_response):
        offered = [name.strip() for name in environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "").split(",") if name.strip()]
        self.protocols = offered[:1]
        return super().__call__(environ, start_response)


server = make_server(
    "127.0.0.1",
    int(sys.argv[1]),
    server_class=WSGIServer,
    handler_class=QuietHandler,
    app=Application(handler_cls=Talk),
)
server.initialize_websockets_manager()
server.serve_forever()
