"""Three network namespaces that reach each other over relays only: one for the perf core, one for a KVM, one for a
driver. They stand for three hosts."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

HOSTS = "perfcore", "kvm", "driver"


@dataclass(frozen=True, slots=True)
class Host:
    """``namespace``: its name for ``ip netns``. ``address``: its own; ``gateway``: that of the test's end of its
    link."""

    namespace: str
    address: str
    gateway: str

    def command(self, *words: str) -> list[str]:
        """A command that runs on this host."""
        return ["ip", "netns", "exec", self.namespace, *words]


def refused() -> str:
    """Why there can be no network namespaces here; "" if there can be."""
    if shutil.which("ip") is None:
        return "there is no command ip"
    name = f"lbrlab-{os.getpid()}-try"
    try:
        _ip("netns", "add", name)
        try:
            _ip("netns", "exec", name, "ip", "link", "set", "lo", "up")
            _ip("link", "add", "lbr-try", "type", "veth", "peer", "name", "lbr-try2", "netns", name)
        finally:
            _ip("netns", "del", name)
    except subprocess.CalledProcessError as error:
        return f"network namespaces are refused: {error.stderr.strip()}"
    return ""


@contextmanager
def three_hosts() -> Iterator[dict[str, Host]]:
    """The hosts by name. No packet is forwarded from one to another."""
    number = os.getpid()
    net = f"10.{100 + number % 100}.{number // 100 % 250}"
    hosts = {}
    try:
        for index, name in enumerate(HOSTS):
            first = 4 * index + 1
            host = hosts[name] = Host(f"lbrlab-{number}-{name}", f"{net}.{first + 1}", f"{net}.{first}")
            near, far = f"lbr{number % 100000}{name[0]}", f"lbr{number % 100000}{name[0]}n"
            _ip("netns", "add", host.namespace)
            _ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", host.namespace)
            _ip("addr", "add", f"{host.gateway}/30", "dev", near)
            _ip("link", "set", near, "up")
            for words in (
                ("addr", "add", f"{host.address}/30", "dev", far),
                ("link", "set", far, "up"),
                ("link", "set", "lo", "up"),
            ):
                _ip("-n", host.namespace, *words)
        yield hosts
    finally:
        for host in hosts.values():
            subprocess.run(["ip", "netns", "del", host.namespace], check=False, capture_output=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
