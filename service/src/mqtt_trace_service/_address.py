"""Hosts and ports as people write and read them."""


def host_and_port(host: str, port: int) -> str:
    """`HOST:PORT`, with an IPv6 address in brackets (RFC 3986, section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def without_brackets(host: str) -> str:
    """A host as sockets take it: `[::1]`, as it stands in a URL, is `::1`."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host
