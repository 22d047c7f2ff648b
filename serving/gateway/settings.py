"""The gateway's command line."""

from __future__ import annotations

import argparse
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from lineage.command_line import Parser
from serving import addresses
from serving.flag_types import seconds, size, within

KINDS = ("auto", "image", "text", "row")
FITS = ("stretch", "pad", "crop")
MODES = ("grey", "colour")
Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"


@dataclass(frozen=True)
class Settings:
    """What the gateway is told.

    Attributes:
      server: the model server's gRPC address, `grpc://host:port` or `grpcs://host:port`.
      model_name: the model's name there.
      label: asks for the version with this label; the server's choice if empty.
      ca_file: PEM file of authorities for a `grpcs://` server.
      host: address to listen on.
      port: port to listen on.
      title: of the page.
      timeout: seconds for a body to arrive, again for a picture to be fetched, and again for the model to answer.
      max_upload_bytes: of a request's body, and of a picture from a URL.
      max_pixels: of a picture, before it is decoded.
      max_rows: in one request.
      max_concurrency: requests answered at once, of those that are there; more wait half a second and get 503 then.
      max_connections: open at once; more are refused with 503. Half as many requests may be arriving.
      takes: one of KINDS; `auto` goes by the model's inputs.
      image_size: width and height that the model's pictures have, or None to leave pictures as they are.
      image_mode: one of MODES.
      image_fit: one of FITS, when a picture has other proportions.
      top: how many classes to answer.
      allow_image_urls: whether pictures may be given as URLs.
      image_url_ports: ports that such URLs may have.
      image_url_networks: networks that are no public ones and yet allowed.
    """

    server: str
    model_name: str
    label: str = ""
    ca_file: str | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    title: str = "Ask the model"
    timeout: float = 15.0
    max_upload_bytes: int = 10_000_000
    max_pixels: int = 12_500_000  # 4032 x 3024, as telephones take them
    max_rows: int = 1000
    max_concurrency: int = 16
    max_connections: int = 512
    takes: str = "auto"
    image_size: tuple[int, int] | None = None
    image_mode: str = "colour"
    image_fit: str = "stretch"
    top: int = 10
    allow_image_urls: bool = False
    image_url_ports: tuple[int, ...] = (80, 443)
    image_url_networks: tuple[Network, ...] = ()


def parse(arguments: Sequence[str]) -> Settings:
    """Reads the flags.

    Raises:
      ConfigError: an unknown flag or a value that is not allowed.
    """
    given = vars(_parser().parse_args(arguments))
    given["server"] = str(addresses.parse("--server", given["server"]))
    return Settings(**{name: value for name, value in given.items() if value is not None})


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m serving gateway",
        description="A web service and a page to try by hand, before a model server.",
        argument_default=None,
    )
    add = parser.add_argument
    add("--server", required=True, metavar="ADDRESS", help="the model server's gRPC: host:port, grpc:// or grpcs://host:port")
    add("--model_name", required=True, help="the model's name there")
    add("--label", help="ask for the version with this label, such as stable (none: the server's choice)")
    add("--ca_file", help="PEM file of the authorities to trust for grpcs:// (the system's)")
    add("--host", help="address to listen on (127.0.0.1)")
    add("--port", type=within(0, 65535), help="port to listen on; 0 takes a free one (8080)")
    add("--title", help="the page's heading (Ask the model)")
    add("--timeout", type=seconds, help="seconds for each step: the body, a picture from a URL, the model (15)")
    add("--max_upload_bytes", type=within(1, 1 << 30), help="most bytes of a request (10000000)")
    add("--max_pixels", type=within(1, 1 << 30), help="most pixels of a picture (12500000)")
    add("--max_rows", type=within(1, 1 << 20), help="most rows in a request (1000)")
    add("--max_concurrency", type=within(1, 1024), help="requests at once; more wait, then get 503 (16)")
    add("--max_connections", type=within(2, 1 << 16), help="connections open at once; more get 503 (512)")
    add("--takes", choices=KINDS, help="what the model takes; auto goes by its inputs (auto)")
    add("--image_size", type=size, metavar="WxH", help="size of the model's pictures, such as 28x28 (as they come)")
    add("--image_mode", choices=MODES, help="what the model's pictures are (colour)")
    add("--image_fit", choices=FITS, help="what to do with pictures of other proportions (stretch)")
    add("--top", type=within(1, 1000), help="how many classes to answer (10)")
    add("--allow_image_urls", action="store_true", default=None, help="fetch pictures from public addresses (off)")
    add("--image_url_ports", type=_ports, metavar="P,P", help="ports that URLs may have (80,443)")
    add("--image_url_networks", type=_networks, metavar="CIDR,CIDR", help="private networks that URLs may lead to (none)")
    return parser


def _ports(text: str) -> tuple[int, ...]:
    try:
        ports = tuple(int(part) for part in text.split(","))
    except ValueError:
        ports = (0,)
    if not all(1 <= port <= 65535 for port in ports):
        raise argparse.ArgumentTypeError(f"expected ports from 1 to 65535 between commas, got {text!r}")
    return ports


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected networks such as 10.1.0.0/16 between commas: {error}") from None
