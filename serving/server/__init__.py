"""The embedded model server: REST and gRPC of TensorFlow Serving over directories of versions.

    flags.py, flag_values.py -> server.py: models and ports, until a signal; ports.py: one event loop for both
    loading.py: the models that the flags ask for; config_file.py over model_config.py: which models those are
    manager.py: hands versions to requests; model.py: what to load and unload; swapper.py: does it; transition.py: reloads
    versions.py, servable.py: one version, before and after it is loaded; warmup.py
    rest.py over json_request.py, json_answer.py, json_examples.py; grpc_service.py over tensor_proto.py
    execution.py, batching.py: where requests are run; classify_regress.py, multi_inference.py: kinds of them
    admin.py, tls.py, health.py, metrics.py: who may, how private, how well, how much
    signature.py, status.py: what all share

Importing it loads neither TensorFlow nor a web server.
"""
