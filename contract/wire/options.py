"""gRPC settings of both ends. They belong together: a server ends the link if it does not expect the client's pings.

Keepalive: each end pings every 2 s, and takes the peer for dead 3 s after an unanswered ping. So either end notices a
peer that is cut off or frozen within 5 s, as a driver notices a service that does not answer a call. gRPC answers pings
in threads of its own, so a peer that is busy with a long command is not taken for dead. Without the server's pings a
KVM that is cut off would keep its name at the perf core. The setting for this is ``ping_timeout``; the setting named
keepalive timeout has no effect on it.
"""

from __future__ import annotations

from contract.wire.limits import Limits

MESSAGE_LIMIT = 64 << 20
"""Bytes of one response: the records of one command come in it."""
TOLD = 16
"""Calls of a connection beyond its limits that the service answers at the same time."""

Options = list[tuple[str, int]]

_BOTH: Options = [
    ("grpc.max_send_message_length", MESSAGE_LIMIT),
    ("grpc.keepalive_time_ms", 2_000),
    ("grpc.http2.ping_timeout_ms", 3_000),
]

CHANNEL: Options = [
    *_BOTH,
    ("grpc.max_receive_message_length", MESSAGE_LIMIT),
    ("grpc.http2.max_pings_without_data", 0),
    # A retry would send the first frames of a stream twice.
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    # A restarted pair must not use the connection of the previous pair.
    ("grpc.use_local_subchannel_pool", 1),
]


def reconnecting(limit: float) -> Options:
    """Options of a channel that waits at most ``limit`` seconds between two attempts to connect. gRPC's waits double,
    and each is up to a fifth shorter or longer."""
    return [*CHANNEL, ("grpc.max_reconnect_backoff_ms", round(limit * 1000))]


SERVER: Options = [
    *_BOTH,
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.max_ping_strikes", 0),
    # Otherwise two services on one port would each get half of the calls.
    ("grpc.so_reuseport", 0),
    # A connection without a TLS or HTTP/2 greeting counts as one of the open connections until then.
    ("grpc.server_handshake_timeout_ms", 10_000),
]


def server_options(limits: Limits) -> Options:
    """The settings of a service with these limits."""
    return [
        *SERVER,
        ("grpc.max_receive_message_length", limits.request_bytes),
        ("grpc.max_allowed_incoming_connections", limits.connections),
        # Some more than a peer may have, so that the service can say which limit it is. The rest waits at the client.
        ("grpc.max_concurrent_streams", limits.peer_streams + limits.peer_calls + TOLD),
    ]
