"""A Beam worker in a process of its own, as engines start it with `--environment_type=PROCESS`.

Beam's container sets WORKER_ID, which its Python worker sends with every call for side inputs; loopback
workers and its process pool do not, and Prism refuses such calls.
"""

import argparse
import os

import grpc
from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc


def main() -> None:
    """Works until the engine ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--id", required=True)
    parser.add_argument("--provision_endpoint", required=True)
    arguments, _ = parser.parse_known_args()
    # Prism puts the name in quotes.
    worker_id = arguments.id.strip("'")
    os.environ["WORKER_ID"] = worker_id
    # Beam reads the variable when this is imported.
    from apache_beam.runners.worker.sdk_worker import SdkHarness

    with grpc.insecure_channel(arguments.provision_endpoint) as channel:
        provision = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        request = beam_provision_api_pb2.GetProvisionInfoRequest()
        answer = provision.GetProvisionInfo(request, metadata=[("worker_id", worker_id)])
    control = answer.info.control_endpoint.url or arguments.provision_endpoint
    SdkHarness(control, worker_id=worker_id).run()


if __name__ == "__main__":
    main()
