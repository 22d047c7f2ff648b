"""Custom properties of the PushedModel artifact; its inputs and parameters are the stock Pusher's."""

PUSHED = "pushed"  # int: 1 if the model is in the serving directory, 0 if it was refused
DESTINATION = "pushed_destination"  # string: the version's directory
VERSION = "pushed_version"  # string: a decimal number
MODEL_ID = "model_id"  # int: the Model artifact's id
DIGEST = "digest"  # string: hex sha256 tree digest of the version's directory
ALREADY_SERVED = "already_served"  # int: 1 if the version held these bytes already and nothing was copied
LIVE = "live"  # int: 1 if it is what servers answer with; 0 if the model is held at another version
HELD_AT = "held_at"  # string: the version that is live instead, if LIVE is 0 and there is one
AUDIT_DIGEST = "audit_digest"  # string: hex sha256 of the newest line of the log of releases; one written anew has no such line
REASON = "reason"  # string: why it was refused
STATEMENT_DIGEST = "statement_digest"  # string: hex sha256 of the file with the signed statement about the version
KEY_ID = "key_id"  # string: id of the key that it names; see `lineage.signing`
# Beyond these: decision_uri and decision_digest of the GateDecision that the model was pushed by, and override, override_by,
# override_reason and override_until where an approval made that decision; see `deploy_gate.recording`.

RECORD_FILE = "pushed.json"  # the same facts, in the artifact's directory, whose digest is the custom property record_digest

# Keys of custom_config.
MODEL_NODE = "model_node"  # id of the node that makes the model, which an error tells to execute again
MODEL_SERVERS = "model_servers"  # list of HOST:PORT: gRPC of the model servers that must answer with the version
SERVER_SECONDS = "server_seconds"  # how long to wait for them; WAIT_SECONDS if it is not there
WAIT_SECONDS = 120.0
SIGNING_KEY = "signing_key"  # path of the private key; never the key
RUN_LOG = "run_log"  # path of the log of runs, whose newest line the statement names
RUN_FACTS = "run_facts"  # code, lock, stack, config digest and seed: `pipeline.provenance.record`
PIPELINE = "pipeline"  # name of the pipeline

# Custom properties of a Model that say with what code it was trained, whichever run uses it now.
TRAINED_BY = ("module", "module_digest", "code_version")

# Input -> id of the node that makes it, if custom_config does not say otherwise.
MADE_BY = {"model": "FederatedTrainer", "model_blessing": "DeployGate"}
