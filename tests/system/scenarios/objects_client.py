"""A client of object storage, as an application has one: boto3, in a host's network.

As a program, `python -m tests.system.scenarios.objects_client URL KEY`, it prints what a stored object hashes to: it is
started in a host's network where names are to be resolved as that host resolves them.
"""

import hashlib
import io
import sys
from collections.abc import Callable
from typing import Any

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from tests.system.scenarios.stage import Host

BUCKET = "pictures"
PATH_STYLE = Config(
    s3={"addressing_style": "path"}, retries={"max_attempts": 1}, connect_timeout=3, read_timeout=30, proxies={}
)
ONE_PIECE = TransferConfig(multipart_threshold=1 << 30, use_threads=False)


class ObjectsClient:
    """Talks to a store at "http://10.0.0.100" from a host; every call runs on a thread inside the host's network."""

    def __init__(self, url: str, host: Host | None = None) -> None:
        self._run: Callable[[Callable[[], Any]], Any] = host.space.run if host else lambda work: work()
        self._s3: Any = boto3.client(
            "s3",
            endpoint_url=url,
            aws_access_key_id="a-key",
            aws_secret_access_key="a-secret",  # noqa: S106 # the store takes any
            region_name="us-east-1",
            config=PATH_STYLE,
        )

    def make_bucket(self) -> None:
        self._run(lambda: self._s3.create_bucket(Bucket=BUCKET))

    def upload(self, key: str, data: bytes) -> None:
        self._run(lambda: self._s3.upload_fileobj(io.BytesIO(data), BUCKET, key, Config=ONE_PIECE))

    def download(self, key: str) -> bytes:
        into = io.BytesIO()
        self._run(lambda: self._s3.download_fileobj(BUCKET, key, into, Config=ONE_PIECE))
        return into.getvalue()

    def keys(self) -> list[str]:
        listed = self._run(lambda: self._s3.list_objects_v2(Bucket=BUCKET))
        return [each["Key"] for each in listed.get("Contents", ())]

    def close(self) -> None:
        self._s3.close()


def main() -> None:
    url, key = sys.argv[1:]
    print(hashlib.sha256(ObjectsClient(url).download(key)).hexdigest())


if __name__ == "__main__":
    main()
