"""HTTP as uvicorn reads it, with a bound on the head of a request, which httptools has not."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from flywheel_assets.api.limits import MAX_HEAD


class BoundedProtocol(HttpToolsProtocol):
    """Hangs up on a request whose line and headers do not end within `MAX_HEAD` bytes."""

    _head = 0
    _in_head = True

    def on_message_begin(self) -> None:
        """Begin to count."""
        self._head, self._in_head = 0, True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Stop: from here on it is the body, which `body` bounds."""
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
            if self._head > MAX_HEAD:
                self.transport.close()
