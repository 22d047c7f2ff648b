"""What may be on its way in at once."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from serving.gateway.arriving import FREE_BYTES, Arriving
from serving.gateway.refusals import Refusal


def test_number_of_requests_is_bounded_and_given_back() -> None:
    arriving = Arriving(2, 100)
    for _ in range(3):
        with arriving.one(), arriving.one(), pytest.raises(Refusal, match="2 requests are arriving"), arriving.one():
            pass


def test_bytes_are_bounded_over_all_and_given_back_whatever_happens() -> None:
    arriving = Arriving(9, 100)
    for _ in range(2):
        with ExitStack() as requests:
            first, second = (requests.enter_context(arriving.one()) for _ in range(2))
            first(FREE_BYTES)
            first(60)
            second(FREE_BYTES + 40)
            for more in (first, second):
                with pytest.raises(Refusal, match="more than 100 bytes") as refused:
                    more(1)
                assert refused.value.status == 503
            requests.enter_context(arriving.one())(FREE_BYTES)  # a small one is let in all the same
