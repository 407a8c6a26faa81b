"""What happens on the host while a session runs does not reach into it."""

from __future__ import annotations

import secrets
import subprocess

import pytest

from e2e.boxes import BOXES
from world import new_human

_ACCOUNT = "echo ready; read go; getent passwd `id -u`; head -n1 /etc/nsswitch.conf; cat /etc/hosts"


@pytest.mark.parametrize("kind", BOXES[:4], ids=str, indirect=True)
def test_accounts_made_meanwhile_do_not_uncover_the_hosts(human, kind):
    top = human.repository(f"accounts-{kind}")
    human.agent(_ACCOUNT)
    running = human.start(
        *kind.flags, cwd=top, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert running.stdout.readline() == b"ready\n"
    stranger = f"clsecure-t-{secrets.token_hex(4)}"
    subprocess.run(["useradd", "--no-create-home", stranger], check=True)  # replaces /etc/passwd
    subprocess.run(["userdel", stranger], check=True)
    said, complaints = running.communicate(b"go\n", timeout=30)
    assert running.returncode == 0, complaints
    account, names, *hosts = said.decode().splitlines()
    assert account.endswith(f":{human.home}:/bin/bash")
    assert names == "passwd: files"  # whatever the host asks for names, its sockets stay outside
    assert hosts[0].startswith("127.0.0.1 localhost ")
    assert not [line for line in hosts if "api." in line]


@pytest.mark.parametrize("kind", BOXES[:4], ids=str, indirect=True)
def test_other_people_of_this_host_are_named_nowhere(human, kind):
    top = human.repository(f"names-{kind}")
    human.agent("true")
    with new_human() as other:  # has subordinate ids, and useradd keeps the files before
        search = f"grep -rIls '{other.name}' /etc /var /run /usr/local; echo over"
        inside = human.clsecure("exec", *kind.flags, "--", "sh", "-c", search, cwd=top)
        assert inside.stdout == "over\n"
        outside = human.run("sh", "-c", search, code=None).stdout.split()
        assert {"/etc/passwd", "/etc/group", "/etc/subuid"} <= set(outside)
