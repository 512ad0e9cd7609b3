"""The sockets to listen on, or one line that says why they cannot be had."""

import errno
import logging
import socket
from typing import Final

from service.core.errors import ConfigurationError

_log = logging.getLogger(__name__)

_BACKLOG: Final = 2048
"""Connections that wait to be accepted, as uvicorn has it."""

_NOT_OURS: Final = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
"""What binding says of an address that this machine does not have."""


def bound(host: str, port: int) -> list[socket.socket]:
    """Return a socket for each address of a host that is this machine's; ConfigurationError where there is none."""
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"SERVICE_HOST: {host!r} is no address, nor the name of one ({error})") from error
    addresses = dict.fromkeys((family, address) for family, *_, address in found)
    sockets = []
    for family, address in addresses:
        try:
            sockets.append(_bound(family, address, both=len(addresses) > 1))
        except OSError as error:
            if error.errno not in _NOT_OURS:
                raise ConfigurationError(
                    f"SERVICE_PORT: cannot listen on port {port} of {host} ({error.strerror}); choose another"
                ) from error
    if not sockets:
        raise ConfigurationError(
            f"SERVICE_HOST: cannot listen on {host}, port {port}: this machine has no such address; "
            "127.0.0.1 is for itself alone, 0.0.0.0 for all that it has"
        )
    for each in sockets:
        name, number, *_ = each.getsockname()
        _log.info("Listening on http://%s:%d", f"[{name}]" if ":" in name else name, number)
    return sockets


def _bound(family: int, address: tuple[str | int | bytes, ...], both: bool) -> socket.socket:
    """Return a socket for one address; where a host has `both`, one of IPv6 must leave that of IPv4 alone."""
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and both:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
        bound.listen(_BACKLOG)  # at once: until then another may bind it too, and uvloop would not say who lost
    except OSError:
        bound.close()
        raise
    return bound
