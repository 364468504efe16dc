"""The contract on real wires: protobuf messages, gRPC streams, service processes.

The only part of ``contract`` that may know of protobuf, grpc or asyncio.
"""
