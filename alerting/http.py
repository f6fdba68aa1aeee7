"""Outgoing HTTP that cannot be turned against the network it runs in.

An address given by a user is resolved once, every answer is checked, and the connection goes to the address that was
checked (a second look-up could answer differently). Host header and TLS name stay those of the URL. Redirects are not
followed, proxy variables are ignored, and the answer is read up to a bound.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from types import TracebackType
from typing import Self

import httpx

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

MAX_RESPONSE_BYTES = 64 * 1024

# Ranges that lead inside although Python calls some of them global: translations of IPv4 into IPv6 (an outsider's name
# could carry 169.254.169.254 through them) and the clouds' metadata services at public addresses.
_REFUSED: tuple[tuple[str, Network], ...] = (
    ("NAT64", ip_network("64:ff9b::/96")),
    ("NAT64", ip_network("64:ff9b:1::/48")),
    ("6to4", ip_network("2002::/16")),
    ("6to4 relay", ip_network("192.88.99.0/24")),
    ("Teredo", ip_network("2001::/32")),
    ("IPv4-compatible", ip_network("::/96")),
    ("metadata", ip_network("168.63.129.16/32")),
    ("metadata", ip_network("169.254.169.254/32")),
    ("metadata", ip_network("100.100.100.200/32")),
    ("metadata", ip_network("192.0.0.192/32")),
    ("metadata", ip_network("fd00:ec2::254/128")),
)


class OutgoingRefusedError(Exception):
    """The address may not be called; the message says why and how an operator can allow it."""


def refusal(address: Address, allowed: Sequence[Network]) -> str | None:
    """Why `address` may not be called, or None when it may."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if any(address.version == network.version and address in network for network in allowed):
        return None
    if address.is_loopback:
        return "loopback"
    for name, network in _REFUSED:
        if address.version == network.version and address in network:
            return name
    return _kind(address)


def _kind(address: Address) -> str | None:
    if address.is_link_local:
        return "link-local"
    if address.is_multicast:
        return "multicast"
    if address.is_private or address.is_unspecified:
        return "private"
    return None if address.is_global else "reserved"


async def resolve(host: str, port: int) -> list[str]:
    """Addresses of a name, in the system's order of preference."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedClient:
    """Posts to addresses that users name. One instance serves many requests; `close` it in the end."""

    def __init__(
        self,
        allowed_networks: Sequence[Network] = (),
        timeout_s: float = 10.0,
        *,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        resolver: Resolver = resolve,
    ) -> None:
        self._allowed = tuple(allowed_networks)
        self._timeout_s = timeout_s
        self._max_response_bytes = max_response_bytes
        self._resolve = resolver
        # No pool: a kept connection would outlive the look-up that justified it.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=timeout_s, limits=limits)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections. Safe to call twice."""
        await self._client.aclose()

    async def post(self, url: str, *, content: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """POST `content`; the answer's body is cut at the bound, redirects are returned as they are.

        Raises:
            OutgoingRefusedError: the scheme or every address of the host is refused.
            httpx.TransportError: the name cannot be resolved, or no connection or answer in time.
        """
        return await self.request("POST", url, content=content, headers=headers)

    async def request(self, method: str, url: str, *, content: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """As `post`, with any method."""
        target = _checked(url)
        try:
            async with asyncio.timeout(self._timeout_s):
                addresses = await self._addresses(target)
                return await self._first_answer(method, target, addresses, content, headers)
        except TimeoutError as error:
            raise httpx.ReadTimeout(f"no answer from {target.host} within {self._timeout_s:g} s") from error

    async def check(self, url: str) -> None:
        """What `request` checks before it connects; nothing is sent. Raises as `request` does."""
        await self._addresses(_checked(url))

    async def _addresses(self, url: httpx.URL) -> list[Address]:
        try:
            found = await self._resolve(url.host, _port(url))
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(f"{url.host} cannot be resolved: check the name and this machine's DNS") from error
        addresses = [ip_address(text) for text in found]
        permitted = [address for address in addresses if refusal(address, self._allowed) is None]
        if not permitted:
            raise OutgoingRefusedError(_explain(url.host, addresses, self._allowed))
        return permitted

    async def _first_answer(
        self, method: str, url: httpx.URL, addresses: list[Address], content: bytes, headers: Mapping[str, str]
    ) -> httpx.Response:
        for address in addresses[:-1]:
            try:
                return await self._send(method, url, address, content, headers)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._send(method, url, addresses[-1], content, headers)

    async def _send(
        self, method: str, url: httpx.URL, address: Address, content: bytes, headers: Mapping[str, str]
    ) -> httpx.Response:
        request = self._client.build_request(
            method,
            url.copy_with(host=str(address)),
            content=content,
            headers={**headers, "Host": url.netloc.decode("ascii"), "Accept-Encoding": "identity"},
            extensions={"sni_hostname": url.raw_host.decode("ascii")},
        )
        answer = await self._client.send(request, stream=True)
        try:
            body = await self._bounded(answer)
        finally:
            await answer.aclose()
        # The body is as it came over the wire, cut: the headers that describe its coding no longer apply.
        kept = [
            (k, v)
            for k, v in answer.headers.multi_items()
            if k not in ("content-encoding", "content-length", "transfer-encoding")
        ]
        return httpx.Response(answer.status_code, headers=kept, content=body, request=request)

    async def _bounded(self, answer: httpx.Response) -> bytes:
        body = bytearray()
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) >= self._max_response_bytes:
                break
        return bytes(body[: self._max_response_bytes])


def _checked(url: str) -> httpx.URL:
    try:
        target = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise OutgoingRefusedError(f"the address is not a URL ({error}): write it as https://host/path") from error
    if target.scheme not in ("http", "https") or not target.host:
        raise OutgoingRefusedError(f"the address has scheme {target.scheme!r}: only https:// and http:// are called")
    if target.userinfo:
        raise OutgoingRefusedError("the address carries a user name or password: put credentials in a secret or header instead")
    return target


def _port(url: httpx.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _explain(host: str, addresses: Sequence[Address], allowed: Sequence[Network]) -> str:
    if not addresses:
        return f"{host} has no address: check the name"
    found = ", ".join(f"{address} ({refusal(address, allowed)})" for address in addresses)
    return f"{host} leads to {found}, which is refused: list its network in outgoing.allowed_networks to allow it"
