"""A small OpenAI-compatible server on this machine for tests, which answers as it is told."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Loopback:
    """Answers the questions it gets from a list of replies in order; the last one repeats.

    A reply is a text (the model's answer), a number (an HTTP status), ``("raw", text)`` (the whole response body),
    ``("slow", seconds, text)``, ``("message", dict)``, or a function of the prompt.
    """

    def __init__(self, *replies):
        self.replies = list(replies)
        self.prompts = []
        self.headers = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def body(self, prompt):
        """Status and body of the next reply."""
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if callable(reply):
            reply = reply(prompt)
        if isinstance(reply, int):
            return reply, "{}"
        if isinstance(reply, tuple) and reply[0] == "raw":
            return 200, reply[1]
        if isinstance(reply, tuple) and reply[0] == "slow":
            time.sleep(reply[1])
            reply = reply[2]
        message = reply[1] if isinstance(reply, tuple) else {"content": reply}
        return 200, json.dumps({"choices": [{"message": {"role": "assistant", **message}, "finish_reason": "stop"}]})

    def _handler(self):
        loopback = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                length = int(self.headers["Content-Length"])
                question = json.loads(self.rfile.read(length))
                loopback.prompts.append(question["messages"][0]["content"])
                loopback.headers.append(dict(self.headers))
                status, body = loopback.body(loopback.prompts[-1])
                try:
                    self.send_response(status if self.path == "/v1/chat/completions" else 404)
                    self.send_header("Content-Type", "application/json")
                    self.end_headers()
                    self.wfile.write(body.encode())
                except OSError:
                    pass  # the client gave up waiting

            def log_message(self, format, *arguments):
                pass

        return Handler
