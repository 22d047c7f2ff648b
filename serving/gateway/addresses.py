"""Which addresses are public: those that a stranger's URL may lead this machine to."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from serving.gateway.settings import Network

# IANA's special-purpose registries, without what they call globally reachable but is no host's: relays, anycast, benchmarks.
_NOT_PUBLIC_4 = (
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.31.196.0/24"
    " 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24"
    " 224.0.0.0/4 240.0.0.0/4"
)
# All of IPv6 but 2000::/3 is private, mapped, translated (NAT64), local, multicast or unassigned. Within it: Teredo and the
# other protocol assignments, documentation, 6to4, AS112.
_PUBLIC_6 = ipaddress.ip_network("2000::/3")
_NOT_PUBLIC_6 = "2001::/23 2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20"


def _networks(text: str) -> list[Network]:
    return [ipaddress.ip_network(network) for network in text.split()]


_PRIVATE = {4: _networks(_NOT_PUBLIC_4), 6: _networks(_NOT_PUBLIC_6)}


def is_allowed(text: str, networks: Iterable[Network] = ()) -> bool:
    """Whether an address as the resolver gives it is public, or in one of `networks`, which the operator allows.

    An IPv6 form that carries an IPv4 address (mapped, 6to4, NAT64, Teredo) is never public, whichever address it carries.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:  # such as one with a zone: link-local
        return False
    if any(address in network for network in networks):
        return True
    public = address.version == 4 or address in _PUBLIC_6
    return public and not any(address in network for network in _PRIVATE[address.version])
