"""Projects' ids on the HTTPS API: names are an account's own there, and clients want one id that is nobody else's."""

import hashlib

TAG = b"sidegate.project.1\n"


def project_id(account: str, project: str) -> str:
    """32 hexadecimal digits, always the same for the same project."""
    parts = (part.encode() for part in (account, project))
    return hashlib.sha256(TAG + b"".join(len(part).to_bytes(4, "big") + part for part in parts)).hexdigest()[:32]
