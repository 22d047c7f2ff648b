"""The embedded model server: REST and gRPC of TensorFlow Serving over a directory of versions.

    flags.py -> server.py: opens the ports, polls the directory
    models.py: which version is served; servable.py: one loaded version; warmup.py
    rest.py over json_request.py, json_answer.py; grpc_service.py over tensor_proto.py
    signature.py, status.py: what both front ends share

Importing it loads neither TensorFlow nor a web server.
"""
