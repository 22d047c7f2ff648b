"""Custom properties of the PushedModel artifact; its inputs and parameters are the stock Pusher's."""

PUSHED = "pushed"  # int: 1 if the model is in the serving directory, 0 if it was refused
DESTINATION = "pushed_destination"  # string: the version's directory
VERSION = "pushed_version"  # string: a decimal number
MODEL_ID = "model_id"  # int: the Model artifact's id
DIGEST = "digest"  # string: hex sha256 tree digest of the version's directory
ALREADY_SERVED = "already_served"  # int: 1 if the live version held these bytes already and nothing was copied
REASON = "reason"  # string: why it was refused

RECORD_FILE = "pushed.json"  # the same facts, in the artifact's directory

# Execution properties that the driver adds.
PUSH_ID = "push_id"  # string: fresh in every run
FAILED_NODES = "failed_nodes"  # string: ids of this run's nodes that failed, joined with ", "
EVALUATIONS = "evaluations"  # string: JSON, id of a node of this run -> uri of its ModelEvaluation

# Key of custom_config: id of the node that makes the model, which an error tells to execute again.
MODEL_NODE = "model_node"

# Input -> id of the node that makes it, if custom_config does not say otherwise.
MADE_BY = {"model": "FederatedTrainer", "model_blessing": "Evaluator"}
