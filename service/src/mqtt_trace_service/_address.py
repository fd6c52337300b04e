"""Hosts and ports as text."""


def host_and_port(host: str, port: int) -> str:
    """`HOST:PORT`, with an IPv6 address in brackets (RFC 3986, section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def without_brackets(host: str) -> str:
    """A host without the brackets of URLs: `[::1]` becomes `::1`."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host
