"""A load generator small enough not to be what is measured: raw HTTP/1.1 over kept-alive connections.

    python -m benchmarks.load PORT CONNECTIONS SECONDS < BODIES

Each line of standard input is the body of a group request; connections take turns through them. Prints requests,
failures, p50_ms and p99_ms as JSON.
"""

import asyncio
import json
import sys
from itertools import count
from time import perf_counter


async def connection(port: int, bodies: list[bytes], turns: "count[int]", until: float, took: list[float]) -> int:
    """Send one request after another until the time is up; return how many were not answered with 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    failures = 0
    while (begun := perf_counter()) < until:
        writer.write(bodies[next(turns) % len(bodies)])
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0]
        await reader.readexactly(int(length))
        took.append(perf_counter() - begun)
        failures += not head.startswith(b"HTTP/1.1 200")
    writer.close()
    return failures


def request(body: bytes) -> bytes:
    """Return the bytes of a request."""
    head = b"POST /recommendations/group HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def main() -> None:
    """Load the server and print what it did."""
    port, connections, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    bodies = [request(line) for line in sys.stdin.buffer.read().splitlines()]
    took: list[float] = []
    until, turns = perf_counter() + seconds, count()
    failures = await asyncio.gather(*(connection(port, bodies, turns, until, took) for _ in range(connections)))
    took.sort()
    report = {
        "requests": len(took),
        "failures": sum(failures),
        "p50_ms": 1000 * took[len(took) // 2],
        "p99_ms": 1000 * took[len(took) * 99 // 100],
    }
    print(json.dumps(report))


if __name__ == "__main__":
    asyncio.run(main())
