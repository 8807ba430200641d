"""Limits of the service that keep one client from silencing others: shares, allowances, admission by the head."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.errors import InputError
from arbitrank.serve.admission import head_refusal
from arbitrank.serve.allowances import Allowances
from arbitrank.serve.auth import Grant, make_token, read_tokens
from arbitrank.serve.fair_shares import HeldBytes, OpenConnections, address_key, forwarded_address
from arbitrank.serve.inflating import inflated
from arbitrank.serve.load import LoadCounters
from arbitrank.serve.operations import OPERATIONS, operations_at
from arbitrank.serve.refusal import Refusal
from arbitrank.serve.settings import ServiceLimits

# ------------------------------------------------------------------------------------------------------ bytes held


def test_of_two_clients_the_one_that_holds_most_for_longest_gives_way() -> None:
    held: HeldBytes[str] = HeldBytes(whole=100, each=100)
    held.hold("attack 1", ("a", "token a"), 45, 0.0)
    held.hold("attack 2", ("a", "token a"), 50, 1.0)
    assert held.excess("attack 2", 2.0) is None
    held.hold("honest", ("b", "token b"), 10, 2.0)
    assert held.excess("honest", 2.0) == "attack 1"
    held.release("attack 1")
    assert held.excess("honest", 2.0) is None


def test_a_large_body_that_arrives_at_once_weighs_less_than_a_small_one_that_is_held() -> None:
    held: HeldBytes[str] = HeldBytes(whole=100, each=100)
    held.hold("slow", ("a",), 30, 0.0)
    held.hold("quick", ("b",), 80, 9.9)
    assert held.excess("quick", 10.0) == "slow"


def test_one_client_may_hold_its_share_alone_and_its_connections_are_told_apart_by_token() -> None:
    held: HeldBytes[str] = HeldBytes(whole=1_000, each=100)
    held.hold("other", ("b",), 500, 0.0)
    assert held.excess("other", 1.0) == "other"
    held.release("other")
    held.hold("greedy", ("proxy", "token a"), 90, 0.0)
    held.hold("modest", ("proxy", "token b"), 20, 0.0)
    assert held.excess("modest", 1.0) == "greedy"


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 60)), max_size=40))
def test_what_is_held_is_the_sum_of_the_connections_and_within_the_limits(steps: list[tuple[int, int, int]]) -> None:
    held: HeldBytes[int] = HeldBytes(whole=100, each=70)
    sizes: dict[int, int] = {}
    for now, (one, client, size) in enumerate(steps):
        held.hold(one, (f"address {client}", f"token {client}"), size, float(now))
        sizes[one] = size
        while (cut := held.excess(one, float(now))) is not None:
            assert sizes[cut] > 0
            held.release(cut)
            sizes[cut] = 0
        assert held.total == sum(sizes.values()) <= 100
    for one in sizes:
        held.release(one)
    assert held.total == 0
    assert not held._sums


def test_beyond_the_limit_of_pending_calls_a_client_sheds_its_own() -> None:
    load = LoadCounters(ServiceLimits(waiting=4))
    assert [load.begin("greedy") for _ in range(6)] == [True] * 4 + [False] * 2
    assert [load.begin("modest") for _ in range(3)] == [True] * 2 + [False]
    assert [load.begin(f"client {n}") for n in range(4)] == [True, True, False, False]
    assert (load.pending, load.shed) == (8, 5)
    for client in ["greedy"] * 4 + ["modest"] * 2 + ["client 0", "client 1"]:
        load.end(client)
    assert [load.begin("modest") for _ in range(5)] == [True] * 4 + [False]


# ----------------------------------------------------------------------------------------------------- connections


class Connection:
    def __init__(self, fresh: bool = True, busy: bool = False) -> None:
        self.fresh, self.busy = fresh, busy


def test_beyond_the_limit_the_address_with_most_connections_loses_its_oldest_without_a_call() -> None:
    opened: OpenConnections[Connection] = OpenConnections(4)
    busy, used, silent, other, new = (
        Connection(False, True),
        Connection(False),
        Connection(),
        Connection(),
        Connection(),
    )
    for one, address in ((busy, "a"), (used, "a"), (other, "b"), (silent, "a")):
        assert opened.add(one, address) is None
    assert opened.add(new, "b") is silent
    opened.remove(silent, "a")
    assert opened.add(Connection(), "c") is used
    opened.remove(used, "a")
    opened.remove(busy, "a")
    assert opened.total == 3


def test_where_every_connection_answers_a_call_the_new_one_is_closed() -> None:
    opened: OpenConnections[Connection] = OpenConnections(1)
    opened.add(Connection(False, busy=True), "a")
    new = Connection()
    assert opened.add(new, "a") is new


def test_an_address_may_have_a_limit_of_its_own_but_a_proxy_has_none() -> None:
    opened: OpenConnections[Connection] = OpenConnections(100, 1, ("proxy",))
    first = Connection()
    assert opened.add(first, "a") is None
    assert opened.add(Connection(), "a") is first
    assert opened.add(Connection(), "b") is None
    assert [opened.add(Connection(), "proxy") for _ in range(3)] == [None] * 3


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::1:2:3:4", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("a:b", "a:b"),
    ],
)
def test_clients_are_told_apart_by_address_or_network(host: str, key: str) -> None:
    assert address_key(host) == key


def test_a_proxy_is_believed_and_nobody_before_it() -> None:
    proxies = ("10.0.0.1", "10.0.0.2")
    assert forwarded_address("10.0.0.1", "1.1.1.1, 2.2.2.2", proxies) == "2.2.2.2"
    assert forwarded_address("10.0.0.1", "1.1.1.1, 2.2.2.2, 10.0.0.2", proxies) == "2.2.2.2"
    assert forwarded_address("3.3.3.3", "1.1.1.1", proxies) == "3.3.3.3"
    assert forwarded_address("10.0.0.1", "", proxies) == "10.0.0.1"


# ------------------------------------------------------------------------------------------------------ allowances


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def grant(**allowances: float) -> Grant:
    return make_token("partner", ["rank"], **allowances)[1]


def test_a_rate_lets_a_burst_through_and_refills(tmp_path: Path) -> None:
    clock = Clock()
    workers = [Allowances(tmp_path, clock, clock) for _ in range(2)]  # which share what they count
    one = grant(rate=10, burst=4)
    assert [workers[n % 2].take(one) is None for n in range(6)] == [True] * 4 + [False] * 2
    assert workers[0].take(grant(rate=10)) is None  # another token
    clock.now += 0.1
    assert [worker.take(one) is None for worker in workers] == [True, False]
    exhausted = workers[0].take(one)
    assert exhausted is not None
    assert (exhausted.limit, exhausted.seconds) == ("rate", 1)
    clock.now += 100
    assert [workers[0].take(one) is None for _ in range(6)] == [True] * 4 + [False] * 2
    for worker in workers:
        worker.close()


def test_a_quota_holds_over_all_workers_until_midnight(tmp_path: Path) -> None:
    clock = Clock()
    workers = [Allowances(tmp_path, clock, clock) for _ in range(3)]
    one = grant(quota=7)
    assert sum(workers[n % 3].take(one) is None for n in range(30)) == 7
    exhausted = workers[0].take(one)
    assert exhausted is not None
    assert (exhausted.limit, exhausted.seconds) == ("quota", 86_400 - 1_000_000 % 86_400)
    clock.now += exhausted.seconds
    assert workers[1].take_more(one, 6) is None
    assert workers[2].take(one) is None
    assert workers[0].take(one) is not None
    for worker in workers:
        worker.close()


def test_a_list_that_is_owed_keeps_following_calls_waiting(tmp_path: Path) -> None:
    clock = Clock()
    allowances = Allowances(tmp_path, clock, clock)
    one = grant(rate=10, burst=10)
    assert allowances.take_more(one, 30) is None
    exhausted = allowances.take(one)
    assert exhausted is not None
    assert exhausted.seconds == 3
    clock.now += 2.1
    assert allowances.take(one) is None
    allowances.close()


def test_the_allowances_of_tokens_are_read_and_written(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    one = grant(rate=2.5, burst=10, quota=100_000)
    file.write_text(f"{one}\n")
    assert str(one).endswith(" partner rate=2.5 burst=10 quota=100000")
    assert read_tokens(file) == (one,)
    plain = str(grant())
    for wrong in ("rate=0", "rate=nan", "rate=x", "quota=1.5", "burst=3", "rate=1 rate=2", "speed=3", "rate", "rate="):
        file.write_text(f"{plain} {wrong}\n")
        with pytest.raises(InputError, match=re.escape(f"{file}:1: ")):
            read_tokens(file)


# ------------------------------------------------------------------------------------------- heads, paths and bodies

HOST = (b"host", b"localhost:8080")


@pytest.mark.parametrize(
    ("version", "headers", "status"),
    [
        ("1.1", [HOST], None),
        ("1.0", [], None),
        ("1.1", [(b"host", b"[::1]:80"), (b"x", b"1"), (b"x", b"2")], None),
        ("1.1", [(b"host", b"")], None),
        ("1.1", [], 400),
        ("0.9", [HOST], 400),
        ("2.0", [HOST], 400),
        ("1.1", [HOST, HOST], 400),
        ("1.1", [(b"host", b"a b")], 400),
        ("1.1", [(b"host", b"a/b@c")], 400),
        ("1.1", [HOST, (b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")], 400),
        ("1.1", [HOST, (b"content-type", b"application/json"), (b"content-type", b"text/plain")], 400),
        ("1.1", [HOST, (b"transfer-encoding", b"chunked")], None),
        ("1.1", [HOST, (b"transfer-encoding", b"gzip, chunked")], 501),
        ("1.0", [(b"transfer-encoding", b"chunked")], 501),
        ("1.1", [HOST, *((b"x%d" % n, b"") for n in range(100))], 431),
    ],
)
def test_a_head_is_sound_or_refused(version: str, headers: list[tuple[bytes, bytes]], status: int | None) -> None:
    refusal = head_refusal(version, headers, dict(headers))
    assert (refusal and refusal.status) == status
    assert refusal is None or refusal.ends


def test_every_operation_is_found_by_its_path_and_no_other_path_is() -> None:
    for one in OPERATIONS:
        assert operations_at(one.path.replace("{domain}", "lights").replace("{file}", "x.js"))[one.method] is one
    assert set(operations_at("/healthz")) == {"GET", "HEAD"}
    for path in (
        "/console",
        "/console/",
        "/console/a/b",
        "/v1",
        "/v1/rank/",
        "/v1/domains//versions",
        "/v1/domains/a/b/versions",
        "/V1/rank",
        "/v1/rank\n",
    ):
        assert operations_at(path) == {}


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_a_gzip_body_of_several_members_is_inflated(one: bytes, two: bytes) -> None:
    assert inflated(gzip.compress(one, mtime=0) + gzip.compress(two), 400) == one + two


def test_a_gzip_body_is_bounded_by_what_it_inflates_to() -> None:
    bomb = gzip.compress(b" " * (1 << 20))
    assert len(bomb) < 2_000
    found = inflated(bomb, (1 << 20) - 1)
    assert isinstance(found, Refusal)
    assert found.status == 413
    assert inflated(bomb, 1 << 20) == b" " * (1 << 20)
    nested = inflated(gzip.compress(b"", mtime=0) * 1_000, 100)
    assert isinstance(nested, Refusal)


@pytest.mark.parametrize(
    "body", [b"", b"{}", gzip.compress(b"{}", mtime=0)[:-1], gzip.compress(b"{}", mtime=0) + b"x", zlib.compress(b"{}")]
)
def test_a_damaged_gzip_body_is_refused(body: bytes) -> None:
    found = inflated(body, 100)
    assert isinstance(found, Refusal)
    assert found.status == 400
