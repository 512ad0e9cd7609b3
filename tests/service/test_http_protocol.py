"""What clients send that is too long, too slow, or too much at once; on real connections."""

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from service.http_protocol import HEAD_BYTES
from tests.service.test_process import head, log_of, served, wait_for

SECONDS = 1.5
"""In which a request must arrive here."""

BODY = b'{"user_ids": ["ann"]}'


@pytest.fixture(scope="module")
def address(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """Of a service that becomes impatient soon."""
    with served(published, tmp_path_factory.mktemp("log"), request_seconds=str(SECONDS)) as (process, url):
        wait_for(process, url, "/health/ready")
        yield of(url)


@pytest.fixture
def connection(address: tuple[str, int]) -> Iterator[socket.socket]:
    with socket.create_connection(address) as connection:
        connection.settimeout(20)
        yield connection


def of(url: str) -> tuple[str, int]:
    host, port = url.removeprefix("http://").split(":")
    return host, int(port)


def get(padding: int = 0, more: str = "") -> bytes:
    """A request with about so many bytes of headers."""
    return f"GET /health/live HTTP/1.1\r\nHost: t\r\n{more}X-Padding: {'x' * padding}\r\n\r\n".encode()


CLOSE = "Connection: close\r\n"


def answers(connection: socket.socket) -> bytes:
    """All that comes until the service hangs up; what it did not read any more is a reset."""
    received = b""
    while True:
        try:
            piece = connection.recv(65536)
        except ConnectionResetError:
            return received
        if not piece:
            return received
        received += piece


def pour(connection: socket.socket, piece: bytes, times: int, pause: float = 0) -> None:
    for _ in range(times):
        connection.sendall(piece)
        time.sleep(pause)


def is_live(connection: socket.socket) -> bool:
    """Whether that is what the next answer says, in however many pieces it comes."""
    received = b""
    while not received.endswith(b'{"status":"live"}'):
        received += (piece := connection.recv(65536))
        if not piece:
            return False
    return True


def statuses(connection: socket.socket) -> list[bytes]:
    return [part[:3] for part in answers(connection).split(b"HTTP/1.1 ")[1:]]


def test_a_long_head_is_read(connection: socket.socket) -> None:
    connection.sendall(get(HEAD_BYTES - 1000, CLOSE))

    assert statuses(connection) == [b"200"]


@pytest.mark.parametrize("times", [1.02, 2, 6])
def test_a_head_that_is_too_long_is_refused(connection: socket.socket, times: float) -> None:
    connection.sendall(get(int(HEAD_BYTES * times)))

    assert statuses(connection) == [b"431"]


def test_a_head_of_many_headers_is_refused_too(connection: socket.socket) -> None:
    connection.sendall(get(more="X-Header: value\r\n" * 5000))

    assert statuses(connection) == [b"431"]


@pytest.mark.parametrize(
    "beginning",
    [
        b"GET /health/live HTTP/1.1\r\nX-Padding: ",
        b"GET /",
        b"\r\n",
        b"POST /nowhere HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Trailer: ",
    ],
    ids=["header", "address", "empty lines", "trailer"],
)
def test_what_goes_on_without_an_end_is_cut_off(connection: socket.socket, beginning: bytes) -> None:
    megabyte = (b"\r\n" if beginning == b"\r\n" else b"xx") * (1 << 19)
    connection.sendall(beginning)

    with pytest.raises(ConnectionError):  # what is under way takes some megabytes: the buffers of two sockets
        pour(connection, megabyte, times=50)


def test_each_head_of_a_connection_may_be_long(connection: socket.socket) -> None:
    for _ in range(5):
        connection.sendall(get(HEAD_BYTES // 2))
        assert is_live(connection)


def test_requests_right_behind_one_another_are_all_answered(connection: socket.socket) -> None:
    long = b'{"user_ids": ["ann"]}' + b" " * 200_000
    some = [get(40_000), head(len(long)) + long, get(), head(len(BODY)) + BODY, get(30_000), get(30_000, CLOSE)]
    connection.sendall(b"".join(some))

    assert statuses(connection) == [b"200"] * len(some)


def test_a_body_is_no_head_however_it_comes(connection: socket.socket) -> None:
    chunked = b"POST /recommendations/group HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
    connection.sendall(chunked + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
    for _ in range(3):
        connection.sendall(b"1\r\n \r\n" * 20_000)
    connection.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))

    assert statuses(connection) == [b"200"]


def test_a_refusal_is_no_answer_to_the_request_before(connection: socket.socket) -> None:
    connection.sendall(head(len(BODY)) + BODY + get(2 * HEAD_BYTES))

    assert statuses(connection) in ([], [b"200"], [b"200", b"431"])  # in this order alone


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"", []),
        (b"\r\n", []),
        (b"GET /health/live HTTP/1.1\r\nHost:", [b"408"]),
        (head(len(BODY)) + BODY[:5], [b"408"]),
        (get() + b"GET /health", [b"200", b"408"]),
        (head(99_999_999) + b" ", [b"413"]),
    ],
    ids=["nothing", "an empty line", "half a head", "half a body", "half a second head", "the body of a refused one"],
)
def test_a_request_that_does_not_arrive_in_time_ends(
    connection: socket.socket, sent: bytes, expected: list[bytes]
) -> None:
    begun = time.monotonic()
    connection.sendall(sent)

    assert statuses(connection) == expected
    assert SECONDS * 0.9 < time.monotonic() - begun < SECONDS + 10


def test_a_byte_now_and_then_gains_no_time(connection: socket.socket) -> None:
    begun = time.monotonic()
    connection.sendall(head(1000))
    with pytest.raises(ConnectionError):
        pour(connection, b" ", times=200, pause=0.1)

    assert time.monotonic() < begun + SECONDS + 10


def test_a_connection_lives_on_while_it_is_used(connection: socket.socket) -> None:
    for _ in range(6):
        connection.sendall(get())
        assert is_live(connection)
        time.sleep(SECONDS / 3)


def test_bodies_that_never_come_end_quietly_with_the_service(published: Path, tmp_path: Path) -> None:
    with served(published, tmp_path, drain_seconds="0", grace_seconds="2") as (process, url), ExitStack() as stack:
        wait_for(process, url, "/health/ready")
        stuck = [stack.enter_context(socket.create_connection(of(url))) for _ in range(20)]
        for connection in stuck:
            connection.sendall(head(len(BODY)) + BODY[:5])
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=20)
        refused = [statuses(connection) for connection in stuck]

    assert code == 0
    assert refused == [[b"408"]] * 20
    assert {line["level"] for line in log_of(tmp_path)} == {"info"}


@pytest.mark.parametrize("name", ["Upgrade", "UPGRADE", "upgrade"])
def test_who_offers_another_protocol_is_answered_in_this_one(connection: socket.socket, name: str) -> None:
    offer = f"Connection: Upgrade, HTTP2-Settings\r\n{name}: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    body = b'{"user_ids": ["ann"], "group_id": "\\r\\nUpgrade: h2c"}'
    request = head(len(body)).replace(b"Host: t\r\n", b"Host: t\r\n" + offer.encode())

    connection.sendall(request + body + get(more=CLOSE))

    received = answers(connection)
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert received.count(b'"user_id":"ann"') == 1
