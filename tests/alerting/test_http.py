"""The guarded client against real sockets on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.http import GuardedClient, OutgoingRefusedError, refusal

LOOPBACK = (ip_network("127.0.0.0/8"),)
Handler = Callable[[bytes], bytes]


@asynccontextmanager
async def server(answer: Handler) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that keeps what it read and answers once per connection."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(65536))
        writer.write(answer(seen[-1]))
        writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with running:
        yield running.sockets[0].getsockname()[1], seen


def names(*addresses: str) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    async def resolver(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolver


def ok(_: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("10.1.2.3", "private"),
        ("172.16.0.1", "private"),
        ("192.168.1.1", "private"),
        ("0.0.0.0", "private"),
        ("169.254.1.1", "link-local"),
        ("169.254.169.254", "metadata"),
        ("168.63.129.16", "metadata"),
        ("100.100.100.200", "metadata"),
        ("100.64.0.1", "reserved"),
        ("fd00:ec2::254", "metadata"),
        ("fe80::1", "link-local"),
        ("fc00::1", "private"),
        ("224.0.0.1", "multicast"),
        ("64:ff9b::a9fe:a9fe", "NAT64"),
        ("64:ff9b:1::1", "NAT64"),
        ("2002:a9fe:a9fe::1", "6to4"),
        ("2001:0:1::1", "Teredo"),
        ("::7f00:1", "IPv4-compatible"),
    ],
)
def test_inside_addresses_are_refused(address: str, why: str) -> None:
    assert refusal(ip_address(address), ()) == why


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:4700::1111"])
def test_outside_addresses_are_called(address: str) -> None:
    assert refusal(ip_address(address), ()) is None


def test_an_operator_allows_a_network() -> None:
    assert refusal(ip_address("10.1.2.3"), (ip_network("10.1.0.0/16"),)) is None
    assert refusal(ip_address("10.2.2.3"), (ip_network("10.1.0.0/16"),)) == "private"


@given(st.ip_addresses(v=4))
def test_no_ipv4_hides_in_a_mapped_address(address: object) -> None:
    plain = ip_address(str(address))
    assert refusal(ip_address(f"::ffff:{plain}"), ()) == refusal(plain, ())


async def test_it_connects_to_the_address_it_checked_under_the_name_given() -> None:
    async with server(ok) as (port, seen), GuardedClient(LOOPBACK, resolver=names("127.0.0.1")) as client:
        answer = await client.post(f"http://hooks.example.test:{port}/x?y=1", content=b"hello", headers={"x-a": "b"})
        assert (answer.status_code, answer.content) == (200, b"ok")
    assert seen[0].startswith(b"POST /x?y=1 HTTP/1.1\r\n")
    assert b"host: hooks.example.test:%d\r\n" % port in seen[0].lower()
    assert b"x-a: b\r\n" in seen[0]
    assert seen[0].endswith(b"hello")


async def test_the_tls_hello_names_the_host() -> None:
    async with server(lambda _: b"") as (port, seen), GuardedClient(LOOPBACK, resolver=names("127.0.0.1")) as client:
        with pytest.raises(httpx.ConnectError):
            await client.post(f"https://hooks.example.test:{port}/", content=b"", headers={})
    assert b"hooks.example.test" in seen[0]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"])
async def test_loopback_is_refused_however_it_is_written(host: str) -> None:
    async with server(ok) as (port, seen), GuardedClient() as client:
        with pytest.raises(OutgoingRefusedError, match="allowed_networks"):
            await client.post(f"http://{host}:{port}/", content=b"", headers={})
    assert seen == []


async def test_an_answer_that_is_allowed_is_chosen_among_refused_ones() -> None:
    async with server(ok) as (port, _), GuardedClient(LOOPBACK, resolver=names("10.0.0.1", "127.0.0.1")) as client:
        assert (await client.post(f"http://a.test:{port}/", content=b"", headers={})).status_code == 200


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://a.test/", "http://", "http://user:pass@a.test/", "http://a.test:port/"]
)
async def test_other_addresses_are_refused(url: str) -> None:
    async with GuardedClient(LOOPBACK) as client:
        with pytest.raises(OutgoingRefusedError):
            await client.post(url, content=b"", headers={})


async def test_redirects_are_returned_not_followed() -> None:
    def move(_: bytes) -> bytes:
        return b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n"

    async with server(move) as (port, seen), GuardedClient(LOOPBACK) as client:
        assert (await client.post(f"http://127.0.0.1:{port}/", content=b"", headers={})).status_code == 302
    assert len(seen) == 1


async def test_proxy_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with server(ok) as (port, _), GuardedClient(LOOPBACK) as client:
        assert (await client.post(f"http://127.0.0.1:{port}/", content=b"", headers={})).status_code == 200


async def test_the_answer_is_read_up_to_a_bound() -> None:
    def long(_: bytes) -> bytes:
        return b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_000

    async with server(long) as (port, _), GuardedClient(LOOPBACK, max_response_bytes=1000) as client:
        assert (await client.post(f"http://127.0.0.1:{port}/", content=b"", headers={})).content == b"x" * 1000


async def test_silence_ends_in_a_timeout() -> None:
    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    async with GuardedClient(LOOPBACK, timeout_s=0.05, resolver=never) as client:
        with pytest.raises(httpx.TimeoutException, match=r"a\.test"):
            await client.post("http://a.test/", content=b"", headers={})
