"""What frames that are made by hand have in common. Pure."""

ETHERTYPE_IPV4 = 0x0800
SYN = 0x02
TTL, WINDOW = 64, 64240


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    number = int.from_bytes(data + bytes(len(data) % 2), "big")
    total = number % 0xFFFF or (0xFFFF if number else 0)  # its words added up, with every carry brought round
    return 0xFFFF - total
