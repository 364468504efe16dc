"""The process around a service: settings, socket, health, reflection, the ready line, and the end."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_reflection.v1alpha import reflection

from contract.errors import InputError
from contract.wire import limits, options, spans
from contract.wire.address import bind_fault
from contract.wire.admission import CallAdmission
from contract.wire.channelz import LazyChannelz
from contract.wire.health import Health
from contract.wire.log import bind, log, log_as
from contract.wire.settings import configured
from contract.wire.shell import Shell
from contract.wire.socket_lock import hold
from contract.wire.tls import Identity, check_exposure, is_local, tls_of

STOPPED, NOT_IN_TIME, BAD_INPUT, NO_ENVIRONMENT = 0, 1, 2, 3
"""Exit codes of a service. 2 and 3 are those of the client."""
WIDTH = 80
GRACE = 0.5
"""Seconds that running calls get at the end."""
END_LIMIT = 3.0
"""Seconds after which a process that must end does so, even if its event loop is busy."""


def arguments(service: str, description: str, epilog: str) -> argparse.Namespace:
    """The settings of a service, where TLS protects each address that other hosts reach; ``tls`` is an Identity. Ends
    the process with status 2 for bad ones."""
    try:
        args = configured(service, description, epilog)
        args.limits = limits.limits_of(args)
        args.tls = Identity(Path(args.tls)) if args.tls else None
        if args.tls is not None:
            args.tls.check()
        check_exposure(
            {f"--{name}": vars(args).get(name) or "" for name in ("listen", "perfcore", "metrics", "traces")},
            args.tls,
            args.insecure,
        )
        if args.traces:
            spans.send_to(args.traces, service, args.tls)
    except InputError as error:
        print(_folded(f"{service}: error: {error}"), file=sys.stderr)
        sys.exit(BAD_INPUT)
    log_as(args.log_format)
    return args


def _folded(text: str) -> str:
    """In lines of 80 columns. A word that is too long stays whole, because it is a path or an address."""
    return textwrap.fill(
        text, WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False, replace_whitespace=False
    )


def _note_certificates(why: str) -> None:
    if why:
        log().error("certificates-refused", reason=why, effect="the old ones stay")
    else:
        log().info("certificates-changed")


class Process:
    """One service process. ``services``: the names that reflection and health report."""

    def __init__(self, shell: Shell[Any], args: argparse.Namespace, services: Sequence[ServiceDescriptor]) -> None:
        bind(service=shell.service)
        self.shell = shell
        self.args = args
        self.names = [service.full_name for service in services]
        self.stop = asyncio.Event()
        self.health = Health(shell, self.names)
        self.server = grpc.aio.server(
            interceptors=[CallAdmission(args.limits)], options=options.server_options(args.limits)
        )

        self.probes: grpc.aio.Server | None = None

    async def serve(self, handlers: Sequence[grpc.GenericRpcHandler]) -> int:
        """Serve until a signal or until the parent ends; returns the exit status."""
        server = self.server
        server.add_generic_rpc_handlers((*handlers, LazyChannelz()))
        health_pb2_grpc.add_HealthServicer_to_server(self.health, server)
        reflection.enable_server_reflection([*self.names, HEALTH, reflection.SERVICE_NAME], server)
        listen = self.args.listen
        try:
            held = hold(listen)
            port = self._open_port(listen)
            extra = {**self._open_metrics(), **self._open_probes()}
        except (RuntimeError, OSError) as error:
            log().error("cannot-listen", address=listen, reason=str(error).splitlines()[0])
            await self.shell.close()
            return NO_ENVIRONMENT
        address = listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{port}"
        self._catch_signals()
        await server.start()
        if self.probes is not None:
            await self.probes.start()
        if self.args.exit_with_parent:
            self._watch_parent()
        ready = {
            "service": self.shell.service,
            "address": address,
            "protocol": self.args.protocol,
            **extra,
            "limits": limits.as_dict(self.args.limits, self.shell.service),
        }
        try:
            sys.stdout.write(json.dumps(ready) + "\n")
            sys.stdout.flush()
        except OSError as error:
            log().error("cannot-say-that-it-is-ready", reason=str(error.strerror))
            await self.shell.close()
            os._exit(NO_ENVIRONMENT)  # A normal end could not write the buffer of standard output either.
        log().info("serving", address=address)
        await self.stop.wait()
        log().info("stopping", bound=f"{END_LIMIT:g} s")
        self.health.is_ending = True
        self.shell.touch()
        await self.shell.close()
        await server.stop(GRACE)
        if self.probes is not None:
            await self.probes.stop(None)
        spans.end()
        if held is not None:
            held.close()
        log().info("stopped")
        return STOPPED

    def _open_metrics(self) -> dict[str, str]:
        """Where they are, for the ready line."""
        if not self.args.metrics:
            return {}
        from contract.wire.metrics import Metrics

        self.shell.metrics = Metrics(self.shell)
        try:
            return {"metrics": self.shell.metrics.serve(self.args.metrics, self.args.tls)}
        except OSError as error:
            raise RuntimeError(f"metrics at {self.args.metrics}: {error.strerror or error}") from None

    def _open_probes(self) -> dict[str, str]:
        """A server of its own for health alone: the probes of an orchestrator have no certificate."""
        if not (listen := self.args.health):
            return {}
        if fault := bind_fault(listen):
            raise RuntimeError(f"health at {listen}: {fault}")
        self.probes = grpc.aio.server(
            interceptors=[CallAdmission(self.args.limits)], options=options.server_options(self.args.limits)
        )
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self.probes)
        return {"health": f"{listen.rpartition(':')[0]}:{self.probes.add_insecure_port(listen)}"}

    def _open_port(self, listen: str) -> int:
        if not listen.startswith("unix:") and (fault := bind_fault(listen)):
            raise RuntimeError(fault)
        identity = tls_of(listen, self.args.tls)
        if identity is not None:
            port: int = self.server.add_secure_port(listen, identity.server_credentials(_note_certificates))
            return port
        if not is_local(listen):
            log().warning("INSECURE", address=listen, reason="no TLS: anyone who reaches this address can use it")
        port = self.server.add_insecure_port(listen)
        return port

    def _catch_signals(self) -> None:
        """Install signal handlers that run between two bytecodes, also in the middle of a command. The event loop's own
        handlers would wait for the command."""
        loop = asyncio.get_running_loop()

        def end(number: int, frame: object) -> None:
            loop.call_soon_threadsafe(self.stop.set)
            watchdog = threading.Timer(END_LIMIT, os._exit, (NOT_IN_TIME,))
            watchdog.daemon = True
            watchdog.start()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)

    def _watch_parent(self) -> None:
        loop = asyncio.get_running_loop()

        def watch() -> None:
            with suppress(OSError):
                while os.read(0, 4096):
                    pass
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self.stop.set)
            time.sleep(END_LIMIT)
            os._exit(NOT_IN_TIME)

        threading.Thread(target=watch, name="parent", daemon=True).start()
