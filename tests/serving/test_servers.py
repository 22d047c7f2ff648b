"""In what a server's answer differs from what is expected, in words."""

from __future__ import annotations

import pytest

from errors import ConfigError, ReleaseError
from serving import servers
from serving.servers import Answer, Expected, Version

LOADED = Version("AVAILABLE", "")
TWO = Answer("a:1", versions={1: LOADED, 2: LOADED}, live=2, labels={"stable": 1, "canary": None})


@pytest.mark.parametrize(
    ("expected", "answer", "told"),
    [
        (Expected(), TWO, ""),
        (Expected(available=[1], live=2, labels={"stable": 1}), TWO, ""),
        (Expected(available=[3]), TWO, "it does not know version 3; it serves version 2"),
        (Expected(live=3), Answer("a:1"), "it does not know version 3; it serves nothing"),
        (Expected(live=1), TWO, "requests without a version still get version 2, not version 1"),
        (Expected(labels={"stable": 2}), TWO, "label stable still gets version 1, not version 2"),
        (Expected(labels={"canary": 2}), TWO, "label canary still gets nothing, not version 2"),
        (Expected(), Answer("a:1", problem="it does not answer"), "it does not answer"),
        (
            Expected(live=3),
            Answer("a:1", versions={3: Version("END", "cut\noff")}),
            "version 3 is END (cut off); it serves nothing",
        ),
    ],
)
def test_difference_is_told(expected, answer, told):
    assert expected.missing(answer) == told


@pytest.mark.parametrize(
    "address", ["localhost:8500", "10.0.0.1:1", "[::1]:65535", "model-server.models.svc:8500", "grpcs://a:1"]
)
def test_addresses(address):
    servers.check_addresses("--server", [address])


@pytest.mark.parametrize(
    "address", ["", "localhost", ":8500", "localhost:0", "localhost:65536", "http://a:1", "::1:8500", "a b:1"]
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ConfigError, match="--server: expected a model server's address"):
        servers.check_addresses("--server", [address])


def test_wait_for_a_server_that_does_not_answer_ends_and_tells_so_for_each():
    with pytest.raises(ReleaseError, match=r"server 127\.0\.0\.1:1 after 0 s: it does not answer .*; server 127\.0\.0\.1:2"):
        servers.wait(["127.0.0.1:1", "127.0.0.1:2"], "digits", Expected(live=1), 0.01)


def test_nobody_to_wait_for_is_no_wait():
    servers.wait([], "digits", Expected(live=1), 0)
