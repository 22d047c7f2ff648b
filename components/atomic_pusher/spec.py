"""Custom properties of the PushedModel artifact; its inputs and parameters are the stock Pusher's."""

PUSHED = "pushed"  # int: 1 if the model is in the serving directory, 0 if it was refused
DESTINATION = "pushed_destination"  # string: the version's directory
VERSION = "pushed_version"  # string: a decimal number
MODEL_ID = "model_id"  # int: the Model artifact's id
DIGEST = "digest"  # string: hex sha256 tree digest of the version's directory
ALREADY_SERVED = "already_served"  # int: 1 if the live version held these bytes already and nothing was copied
REASON = "reason"  # string: why it was refused
# Beyond these: decision_uri and decision_digest of the GateDecision that the model was pushed by, and override, override_by,
# override_reason and override_until where an approval made that decision; see `deploy_gate.recording`.

RECORD_FILE = "pushed.json"  # the same facts, in the artifact's directory

# Key of custom_config: id of the node that makes the model, which an error tells to execute again.
MODEL_NODE = "model_node"

# Input -> id of the node that makes it, if custom_config does not say otherwise.
MADE_BY = {"model": "FederatedTrainer", "model_blessing": "DeployGate"}
