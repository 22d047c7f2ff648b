"""batching.config, and what the gateway sends to a server that reads it."""

from serving.gateway.settings import Settings
from serving.server.batching_parameters import read
from tests.serving.deploy.deployed import gateway_arguments
from tests.serving.deploy.manifests import DEPLOY


def test_every_request_that_the_gateway_takes_fits_the_servers_batching_file() -> None:
    parameters = read((DEPLOY / "config" / "batching.config").read_text(encoding="utf-8"))
    asked = [int(word.partition("=")[2]) for word in gateway_arguments("base") if word.startswith("--max_rows=")]
    assert max([Settings.max_rows, *asked]) <= parameters.max_batch_size
    # TensorFlow Serving refuses a request whose parts do not all fit its queue.
    assert parameters.max_batch_size <= parameters.execution_limit * parameters.max_enqueued_batches
    assert parameters.enable_large_batch_splitting
