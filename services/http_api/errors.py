"""What a request is refused with: a code of the table, and words that name the thing and the way out."""

from collections.abc import Mapping

from services.http_api.error_codes import CODES, Code


class Refused(Exception):
    """A request that was refused. `digits` name the code; `headers` go with the answer."""

    def __init__(self, digits: str | Code, text: str = "", headers: Mapping[str, str] | None = None) -> None:
        self.code = digits if isinstance(digits, Code) else CODES[digits]
        super().__init__(text or self.code.text)
        self.text, self.headers = text, dict(headers or {})

    @property
    def body(self) -> dict[str, str]:
        return body(self.code, self.text)


def body(code: Code, text: str = "") -> dict[str, str]:
    """What clients read an error from: the code's own words first, since programs may compare them."""
    return {"error_code": code.wire, "error_msg": f"{code.text} {text}" if text else code.text}
