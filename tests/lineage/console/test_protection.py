"""Who may ask the console, and what nobody gets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from errors import ConfigError
from lineage.console.settings import Settings, is_loopback, parse
from lineage.places import Places
from tests.lineage.console.asking import TOKEN, asking


@pytest.fixture
def locked(twenty_runs):
    """Asks a console that was started with a token."""
    return asking(Settings(twenty_runs.places, host="0.0.0.0", token=TOKEN, allowed_hosts=("lineage.example",)))


def test_without_a_token_nothing_is_told_and_a_page_leads_to_the_form(locked) -> None:
    assert locked("/api/models").status_code == 401
    assert "digits" not in locked("/api/models").text
    assert locked("/files/1/partition.svg").status_code == 303
    page = locked("/runs")
    assert (page.status_code, page.headers["location"]) == (303, "/login")
    assert "Token" in locked("/login").text


def test_the_token_as_bearer_opens_it_and_no_other_does(locked) -> None:
    assert locked("/api/models", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    for wrong in (f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer ", "Bearer é"):
        assert locked("/api/models", headers={"Authorization": wrong.encode()}).status_code == 401


def test_signing_in_gives_a_cookie_that_no_script_and_no_other_site_can_use(locked) -> None:
    refused = locked("/login", "POST", data={"token": "x" * 40})
    assert (refused.headers["location"], "set-cookie" in refused.headers) == ("/login?wrong", False)
    assert "not the token" in locked("/login?wrong").text
    done = locked("/login", "POST", data={"token": TOKEN})
    cookie = done.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and TOKEN not in cookie
    assert locked("/api/models", headers={"Cookie": cookie.split(";")[0]}).status_code == 200
    assert locked("/api/models", headers={"Cookie": "fedtfx_console=" + "x" * 43}).status_code == 401


def test_a_form_of_another_site_cannot_sign_in_and_a_long_one_is_not_read(locked) -> None:
    other = locked("/login", "POST", data={"token": TOKEN}, headers={"Origin": "http://evil.example"})
    assert other.status_code == 403
    hidden = {"Origin": "null", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert locked("/login", "POST", data={"token": TOKEN}, headers=hidden).status_code == 403
    own = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}  # as browsers send it under `no-referrer`
    assert locked("/login", "POST", data={"token": TOKEN}, headers=own).headers["location"] == "/"
    assert locked("/login", "POST", data={"token": "x" * 10_000}).status_code == 413


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8765", "", "[::1"])
def test_a_name_that_another_dns_could_lead_here_is_refused(ask, host: str) -> None:
    assert ask("/", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:9", "localhost", "[::1]:8765", "192.168.1.7"])
def test_addresses_and_localhost_are_its_names(ask, host: str) -> None:
    assert ask("/", headers={"Host": host}).status_code == 200


def test_a_name_is_known_that_was_allowed(locked) -> None:
    assert locked("/login", headers={"Host": "lineage.example"}).status_code == 200


def test_it_only_reads(ask) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        for path in ("/", "/api/models", "/api/verify?target=&start=1"):
            assert ask(path, method).status_code == 405
    assert ask("/", "HEAD").status_code == 200


def test_other_sites_cannot_make_a_browser_ask(ask) -> None:
    embedded = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert ask("/api/verify?target=&start=1", headers=embedded).status_code == 403
    assert ask("/api/verify?target=&start=1", headers=followed).status_code == 403
    assert ask("/models", headers=followed).status_code == 200


def test_every_answer_keeps_the_browser_careful(ask) -> None:
    for path in ("/", "/api/models", "/static/main.js", "/nowhere", "/login"):
        headers = ask(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path",
    [
        "/static/../application.py",
        "/static/..%2fapplication.py",
        "/static/vendor/../../settings.py",
        "/static/vendor/README.md",
        "/files/1/..%2f..%2f..%2fmetadata.sqlite",
        "/files/1/saved_model.pb",
        "/files/999999/model_card.html",
        "/files/-1/model_card.html",
    ],
)
def test_no_address_leads_to_a_file_that_is_not_for_browsers(ask, path: str) -> None:
    answer = ask(path)
    assert answer.status_code == 404, answer.text


@pytest.mark.parametrize("name", ["/etc", "..", "./tests", "~", "digits/../reviews", "digits//etc", "metadata.sqlite"])
def test_what_is_named_is_never_taken_for_a_path(ask, name: str) -> None:
    answer = ask("/api/diff", params={"a": name, "b": name})
    assert answer.status_code == 400
    assert "expected NAME or NAME/VERSION of what is served" in answer.json()["error"]


def test_a_link_in_place_of_a_picture_is_not_followed(store_writer, tmp_path: Path) -> None:
    split, secret = tmp_path / "split", tmp_path / "secret.svg"
    split.mkdir()
    secret.write_text("<svg>secret</svg>")
    artifact = store_writer.artifact("components.FederatedExamples", str(split))
    _, made = store_writer.execute("p", "r", "FederatedSplit", outputs={"federated_examples": [artifact]})
    ask = asking(Settings(Places(str(tmp_path), str(tmp_path / "models"), str(tmp_path / "metadata.sqlite"))))
    address = f"/files/{made['federated_examples'][0]}/partition.svg"
    (split / "partition.svg").symlink_to(secret)
    assert ask(address).status_code == 404
    (split / "partition.svg").unlink()
    (split / "partition.svg").write_text("<svg><script>alert(1)</script></svg>")
    answer = ask(address)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")


def test_another_host_than_this_machine_needs_a_token(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--host 0\.0\.0\.0: expected --token-file"):
        parse(["--host", "0.0.0.0"])
    assert not is_loopback("lineage.example") and is_loopback("::1") and is_loopback("127.8.0.1")
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    assert parse(["--host", "0.0.0.0", "--token-file", str(file)]).token == TOKEN


@pytest.mark.parametrize(
    ("content", "mode", "expected"),
    [
        (TOKEN, 0o640, "only its owner can read"),
        ("short", 0o600, "24 or more printable"),
        (f"{TOKEN} {TOKEN}", 0o600, "without spaces"),
        ("ü" * 30, 0o600, "printable ASCII"),
        ("x" * 5000, 0o600, "24 or more printable"),
    ],
)
def test_a_token_that_others_may_read_or_guess_is_refused(tmp_path: Path, content: str, mode: int, expected: str) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    file.chmod(mode)
    with pytest.raises(ConfigError, match=re.escape(expected)):
        parse(["--token-file", str(file)])


def test_a_token_file_that_is_not_there_and_an_unknown_flag_are_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a file that can be read, got No such file"):
        parse(["--token-file", str(tmp_path / "none")])
    with pytest.raises(ConfigError, match="unrecognized arguments: --hots"):
        parse(["--hots", "x"])
