"""The official SDK's clients for an account, which know nothing but an address, an access key and an authority."""

from collections.abc import Mapping
from typing import Any, TypeVar

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkvpc.v2 import VpcClient
from huaweicloudsdkvpc.v3 import VpcClient as VpcV3Client
from huaweicloudsdkvpcep.v1 import VpcepClient

from tests.support.standalone import Standalone

C = TypeVar("C", VpcClient, VpcV3Client, VpcepClient)


def client(kind: type[C], sidegate: Standalone, account: Mapping[str, Any]) -> C:
    """`account` is what `sidegate account create -o json` answers."""
    config = HttpConfig.get_default_config()
    config.ssl_ca_cert = sidegate.ready["ca"]
    credentials = BasicCredentials(account["access_key"], account["secret_key"], account["project_id"])
    builder = kind.new_builder().with_credentials(credentials).with_endpoint(sidegate.https).with_http_config(config)
    made: C = builder.build()
    return made
