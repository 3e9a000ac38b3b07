"""`python -m services.common.identity`: makes a certificate authority, and programs' certificates and users of NATS.

python -m services.common.identity DIRECTORY --region local --program registry=registry,127.0.0.1 --gateway default/gw-1
"""

import argparse
import os
import shutil
import sys
from pathlib import Path

from services.common.identity.nats.authority import NatsAuthority
from services.common.identity.pki import CA_FILE, LOCAL, Authority, Subject, Unfit, gateway_uri, program_uri


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m services.common.identity", description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, help="the authority's; each program's certificate in a folder of it")
    parser.add_argument("--region", default="local", help="the region that the programs are told")
    parser.add_argument(
        "--program", action="append", default=[], metavar="NAME[=HOST,...]", help="registry or endpoint, its hosts"
    )
    parser.add_argument("--owner", type=int, metavar="UID", help="whose the files of the programs named are then")
    parser.add_argument("--copy-ca", type=Path, metavar="DIRECTORY", help="where ca.pem is copied to, for clients")
    parser.add_argument("--gateway", action="append", default=[], metavar="CELL/ID", help="a gateway agent")
    return parser.parse_args()


def _give(directory: Path, owner: int | None) -> None:
    if owner is not None:
        for path in (directory, *directory.iterdir()):
            os.chown(path, owner, -1)


def main() -> int:
    told = _arguments()
    try:
        authority, users = Authority(told.directory, told.region), NatsAuthority(told.directory)
        for program in told.program:
            name, _, hosts = program.partition("=")
            subject = Subject(name, program_uri(told.region, name), (*LOCAL, *filter(None, hosts.split(","))))
            authority.provide(told.directory / name, subject)
            users.program(told.directory / name, name)
            _give(told.directory / name, told.owner)
        for gateway in told.gateway:
            cell, _, name = gateway.partition("/")
            authority.provide(told.directory / name, Subject(name, gateway_uri(told.region, cell, name)))
            users.gateway(told.directory / name, cell, name)
        if told.copy_ca is not None:
            shutil.copyfile(told.directory / CA_FILE, told.copy_ca / CA_FILE)
    except (Unfit, OSError) as error:
        print(f"identity: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
