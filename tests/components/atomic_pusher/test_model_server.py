"""The Pusher with a real model server."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import portpicker
import pytest
from tfx.utils import json_utils

from errors import PushError
from lineage.digests import tree_digest
from serving import layout, servers

pytestmark = pytest.mark.slow
ROOT = Path(layout.__file__).parents[1]


@pytest.fixture
def address(push):
    """Of a server that serves what is pushed, once there is a model."""
    address = f"127.0.0.1:{portpicker.pick_unused_port()}"
    flags = ["--port", address.split(":")[1], "--rest_api_port=0", "--model_name=digits", f"--model_base_path={push.model_dir}"]
    flags += ["--file_system_poll_wait_seconds=0.1", "--max_num_load_retries=0"]
    server = subprocess.Popen([sys.executable, "-m", "serving", "serve", *flags], cwd=ROOT, stderr=subprocess.DEVNULL)
    yield address
    server.terminate()
    server.wait(20)


def with_a_real_model(push):
    import tensorflow as tf

    module = tf.Module()
    half = tf.function(lambda x: {"y": x / 2}).get_concrete_function(tf.TensorSpec([None], tf.float32, "x"))
    shutil.rmtree(push.export)
    tf.saved_model.save(module, str(push.export), signatures=half)
    push.model.set_string_custom_property("digest", tree_digest(push.model.uri))
    push.decide()
    return push


def test_push_is_done_when_the_server_answers_with_it_and_fails_if_it_does_not(push, address):
    def custom_config(seconds: float) -> str:
        return json_utils.dumps({"model_servers": [address], "server_seconds": seconds})

    pushed = with_a_real_model(push).run(custom_config=custom_config(60))
    version = int(pushed.get_string_custom_property("pushed_version"))
    assert servers.ask(address, "digits").live == version
    assert push.run(custom_config=custom_config(5)).get_int_custom_property("already_served") == 1

    broken = push.another(50)  # its saved_model.pb is none
    with pytest.raises(PushError, match=rf"is END \(.*\); it serves version {version}; mend the server and run again, or roll"):
        broken.run(custom_config=custom_config(2))
    assert layout.live_version(push.model_dir) > version
    assert servers.ask(address, "digits").live == version
