"""From where a request comes, and from where it may."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from starlette.requests import HTTPConnection

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

FORWARDED = ("x-forwarded-for", "forwarded", "x-real-ip", "x-forwarded-proto", "x-forwarded-host", "via")
"""The marks a proxy leaves; some leave one only."""

MAPPED = 96
"""Bits before an IPv4 address where a socket of both families shows it as an IPv6 one."""


def client_address(connection: HTTPConnection) -> IpAddress | None:
    """Return who asks, None when it is no address: what a proxy that is not trusted says was not read."""
    return address_of(connection.client.host) if connection.client else None


def address_of(text: str) -> IpAddress | None:
    """Read an address; one of IPv4 is that in both of its spellings."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def neighbours(address: IpAddress | None) -> str:
    """Name those who count as one when something is counted by address."""
    if isinstance(address, ipaddress.IPv6Address):
        # Whoever has one address of IPv6 has the rest of its network too.
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address) if address else "unknown"


def is_direct(connection: HTTPConnection, networks: Sequence[Network]) -> bool:
    """Tell whether somebody asks from one of these networks, and through no proxy."""
    # A proxy on this machine makes everybody look local; it leaves its mark, and then nobody counts as local.
    if any(name in connection.headers for name in FORWARDED):
        return False
    return is_within(client_address(connection), networks)


def is_local(connection: HTTPConnection) -> bool:
    """Tell whether somebody asks from this machine, and through no proxy."""
    return is_direct(connection, LOOPBACK)


def is_within(address: IpAddress | None, networks: Sequence[Network]) -> bool:
    """Tell whether an address is in one of these networks."""
    return address is not None and any(address in network for network in networks)


def parse_networks(text: str, *, example: str) -> list[Network]:
    """Read addresses and networks, comma separated.

    Raises:
        ValueError: one is none of them.
    """
    found: list[Network] = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        try:
            found.append(ipaddress.ip_network(part, strict=False))
        except ValueError:
            raise ValueError(f"{part!r} is no address or network; example: {example}") from None
    return found


def both_spellings(networks: Sequence[Network]) -> list[str]:
    """Write networks down for somebody who compares addresses as they come: those of IPv4 as IPv6 too."""
    mapped = [
        f"::ffff:{network.network_address}/{MAPPED + network.prefixlen}"
        for network in networks
        if isinstance(network, ipaddress.IPv4Network)
    ]
    return [*map(str, networks), *mapped]


LOOPBACK = parse_networks("127.0.0.0/8,::1", example="127.0.0.1")
