"""The tools that matter reach an allowed host, by the proxy and without, and no other host."""

from __future__ import annotations

import json
import re
import ssl
import subprocess

import pytest

from e2e.boxes import Kind
from e2e.claudeworld import SERVER
from e2e.toolbox import ONLY_BY_PROXY
from e2e.toolkit import GROUP_HOSTS, TOOLS, WAYS, attempts, host, new_kit
from testkit import Running
from world.internet import API
from world.packages import WORD

KINDS = [
    Kind("user", "none", "overlay"),
    Kind("namespace", "firejail", "overlay"),
    Kind("container", "podman", "overlay"),
]
SECONDS = 200
# What a stopped tool shows: by the proxy the status of an answer of HTTP, without one TLS's alert
# 49, which RFC 8446 (6.2) calls access_denied, or for plain HTTP the whole answer.
SAID = {
    "proxy": r"\b403\b|Blocked by clsecure",
    "direct": r"(?i)access[ _]?(was )?denied",
    "curl-http": r"clsecure net allow {host}",
    "wget-http": r"clsecure net allow {host}",
    "apt": r"403 +Blocked by clsecure",
    "git-ssh": r"reset by",
    "curl-socks": r"SOCKS5 connection to {host}\. \(2\)",  # RFC 1928: not allowed by ruleset
    "uv-proxy": r"tunnel error",
}


@pytest.fixture(scope="module")
def kit(human):
    with new_kit(human) as made:
        yield made


@pytest.mark.parametrize("kind", KINDS, ids=str, indirect=True)
def test_each_tool_reaches_what_is_allowed_and_nothing_else(kit, kind):
    wanted = attempts("allowed.test", "evil.test")
    name = f"tools-{kind}"
    ended = kit.in_box(name, wanted, *kind.flags, "--allow", "*.allowed.test")
    assert [each["host"] for each in ended] == [each[2] for each in wanted]
    assert not [each for each in ended if not _is_as_it_should_be(each)]

    ways: dict[str, set[tuple[str, str]]] = {}
    for each in kit.decisions(name):
        ways.setdefault(each["host"], set()).add((each["way"], each["verdict"]))
    assert ways == {
        where: {(_way(tool, way), "allow" if where.endswith(".allowed.test") else "deny")}
        for tool, way, where in wanted
    }


def test_without_a_box_each_tool_reaches_the_other_host_too(kit):
    ended = kit.outside("control", attempts("evil.test", ways=("direct",)))
    assert len(ended) == len(TOOLS) - len(ONLY_BY_PROXY)
    assert not [each for each in ended if each["code"] != 0 or WORD not in each["said"]]


def test_a_group_is_what_the_human_s_own_clients_use(kit):
    """The box has none of their settings; that it reaches their hosts is the group's doing."""
    where = GROUP_HOSTS
    variables = _configure(kit)
    hosts = {
        "pip": where["pip-index"],
        "uv": where["pip-index"],
        "npm": where["npm-registry"],
        "go": where["go-proxy"],
        "cargo": where["cargo-index"],
    }
    groups = ["@pip", "@npm", "@go", "@cargo"]
    if "apt" in TOOLS:
        hosts["apt"] = where["apt-mirror"]
        groups.append("@apt")
    other = ("curl", "proxy", host("curl", "proxy", "allowed.test"))
    wanted = [(tool, way, hosts[tool]) for way in WAYS for tool in hosts]
    flags = [word for group in groups for word in ("--allow", group)]
    prefix = ("env", "INDEX=apart")  # where files are on a host that only the index names
    ended = kit.in_box(
        "groups", [*wanted, other], *KINDS[1].flags, *flags, prefix=prefix, env=variables
    )
    *ended, blocked = ended
    assert not [each for each in ended if each["code"] != 0 or WORD not in each["said"]]
    assert blocked["code"] != 0
    passed = {each["host"] for each in kit.decisions("groups") if each["verdict"] == "allow"}
    assert passed == {*hosts.values(), where["pip-files"]}


def _configure(kit) -> dict[str, str]:
    """Give the human clients with settings; returns their variables."""
    human, where = kit.human, GROUP_HOSTS
    index = f"https://{where['pip-index']}/apart"
    human.write(
        ".config/pip/pip.conf", f"[global]\nindex-url = {index}\ncert = {kit.place}/ca.pem\n"
    )
    human.write(".config/uv/uv.toml", f'[[index]]\nurl = "{index}"\ndefault = true\n')
    human.write(".npmrc", f"registry=https://{where['npm-registry']}/npm/\n")
    cargo = (kit.place / "cargo.toml").read_text().replace("@INDEX@", where["cargo-index"])
    human.write(".cargo/config.toml", cargo)
    human.write("sources.list", f"deb [trusted=yes] http://{where['apt-mirror']}/apt ./\n")
    apt = {"sourcelist": human.home / "sources.list", "sourceparts": "-"}
    lines = [f'Dir::Etc::{name} "{value}";\n' for name, value in apt.items()]
    human.write("apt.conf", "".join(lines))
    return {
        "PATH": f"{kit.venv}/bin:{human.environment['PATH']}",
        "SSL_CERT_FILE": f"{kit.place}/ca.pem",
        "CARGO_HTTP_CAINFO": f"{kit.place}/ca.pem",
        "CARGO_UNSTABLE_SPARSE_REGISTRY": "true",
        "RUSTC_BOOTSTRAP": "1",
        "GOPROXY": f"https://{where['go-proxy']}/go",
        "GOSUMDB": "off",
        "APT_CONFIG": f"{human.home}/apt.conf",
    }


@pytest.mark.client
@pytest.mark.parametrize("way", [*WAYS, "door"])
@pytest.mark.parametrize("kind", KINDS, ids=str, indirect=True)
def test_the_real_client_reaches_its_api_by_name(kit, kind, way, client):
    human, name = kit.human, f"client-{kind}-{way}"
    project = human.repository(f"src/{name}")
    without = "" if way != "direct" else "unset $(env | grep -io '^[a-z_]*_proxy'); "
    program = client.resolve()
    human.agent(
        f'{without}export NODE_EXTRA_CA_CERTS={kit.place}/ca.pem; exec {program} "$@"',
    )
    scenario = [
        {"bash": f"curl -sS http://{host('curl-http', way, 'evil.test')}/hello"},
        {"expect": "clsecure net allow curl-http", "text": "the work is done"},
    ]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(kit.internet.directory / "cert.pem", kit.internet.directory / "key.pem")
    listening = kit.internet.listen(API, 443)
    with Running(scenario, listening, context) as api:
        variables = {
            "ANTHROPIC_BASE_URL": "https://api.test",
            "ANTHROPIC_API_KEY": "sk-ant-test-0123456789abcdefghijklmnopqrstuvwxyz",
            "CLAUDE_CODE_MAX_RETRIES": "1",
        }
        exposed = ("--expose", kit.place, "--expose", program.parent)
        if way == "door":
            variables["NODE_EXTRA_CA_CERTS"] = f"{kit.place}/ca.pem"
        else:  # the client itself speaks TLS to its API
            exposed = (*exposed, "--credentials", "inside")
        ran = human.clsecure(
            *kind.flags, *exposed, "--", "-p", "go", cwd=project, env=variables, seconds=SECONDS
        )
    assert ran.stdout == "the work is done\n"
    assert not api.failed_expectations()
    decided = {(each["host"], each["way"], each["verdict"]) for each in kit.decisions(name)}
    assert decided == {
        ("api.test", {"proxy": "connect", "door": "api"}.get(way, "transparent"), "allow"),
        (host("curl-http", way, "evil.test"), _way("curl-http", way), "deny"),
    }


@pytest.mark.client
def test_the_clients_own_fetch_reaches_what_is_allowed(kit, client):
    human, project = kit.human, kit.human.repository("src/client-fetch")
    program = client.resolve()
    human.agent(f'export NODE_EXTRA_CA_CERTS={kit.place}/ca.pem; exec {program} "$@"')

    def fetch(name):
        url = f"https://{name}/hello"
        return {"tool": {"name": "WebFetch", "input": {"url": url, "prompt": "what is there?"}}}

    turns = [fetch("www.allowed.test"), fetch("evil.test"), "the work is done"]
    listening = kit.internet.listen("127.0.0.1", 8123)
    with Running({"turns": turns, "side": "a word on the page"}, listening) as api:
        variables = {
            "ANTHROPIC_BASE_URL": api.url,
            "ANTHROPIC_API_KEY": "sk-ant-test-0123456789abcdefghijklmnopqrstuvwxyz",
            "CLAUDE_CODE_MAX_RETRIES": "1",
        }
        words = ("--allow", "*.allowed.test", "--expose", kit.place, "--expose", program.parent)
        with_internet = human.clsecure(*words, "--", "-p", "go", cwd=project, env=variables)
        first, second = api.tool_results()[0], api.tool_results()[-1]
    assert with_internet.stdout == "the work is done\n"
    assert (first["is_error"], first["text"]) == (False, "a word on the page")
    assert second["is_error"]
    assert "evil.test:443" in with_internet.stderr.partition("blocked: ")[2]


_FETCHES = """\
import urllib.error, urllib.request
try:
    more = urllib.request.urlopen("http://%s/hello", timeout=8).read().decode()
except urllib.error.HTTPError as error:
    more = error.read().decode()
"""


@pytest.mark.client
def test_a_server_of_the_clients_asks_as_any_tool_does(kit, client):
    human, project = kit.human, kit.human.repository("src/client-server")
    human.agent(f'exec {client.resolve()} "$@"')
    start, _, rest = SERVER.partition("try:\n")
    servers = {}
    for name in ("www.allowed.test", "evil.test"):
        lines = rest.partition("for line in")
        own = f"{start}{_FETCHES % name}for line in{lines[2]}"
        path = human.write(f"servers/{name}.py", own)
        servers[name.partition(".")[0]] = {"command": "python3", "args": [str(path)]}
    state = human.write(".claude.json", json.dumps({"mcpServers": servers}), mode=0o600)
    turns = [{"tool": {"name": f"mcp__{each}__forecast", "input": {}}} for each in servers]
    listening = kit.internet.listen("127.0.0.1", 8124)
    with Running([*turns, "the work is done"], listening) as api:
        variables = {
            "ANTHROPIC_BASE_URL": api.url,
            "ANTHROPIC_API_KEY": "sk-ant-test-0123456789abcdefghijklmnopqrstuvwxyz",
        }
        words = ("--allow", "*.allowed.test", "--expose", client.resolve().parent)
        ran = human.clsecure(*words, "--", "-p", "go", cwd=project, env=variables)
        allowed, refused = (each["text"] for each in api.tool_results()[-2:])
    human.run("rm", state)
    assert ran.stdout == "the work is done\n"
    assert WORD in allowed
    assert "clsecure net allow evil.test" in refused
    assert WORD not in refused


def _way(tool: str, way: str) -> str:
    """Which way out a tool takes, as the log has it."""
    if way == "direct" or tool == "git-ssh" or (tool.startswith("node-") and not _node_heeds()):
        return "transparent"
    return {"curl-socks": "socks", "curl-http": "http", "wget-http": "http", "apt": "http"}.get(
        tool, "connect"
    )


def _node_heeds() -> bool:
    """Whether node's own clients heed NODE_USE_ENV_PROXY (its documentation, "CLI")."""
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    version = tuple(int(each) for each in said.strip().lstrip("v").split(".")[:2])
    return (22, 21) <= version < (23, 0) or version >= (24, 5)


def _is_as_it_should_be(ended) -> bool:
    tool, way, where, said = (ended[name] for name in ("tool", "way", "host", "said"))
    if where.endswith(".allowed.test"):
        return ended["code"] == 0 and WORD in said
    pattern = SAID.get(f"{tool}-{way}") or SAID.get(tool)
    if not pattern:
        pattern = SAID["direct" if _way(tool, way) == "transparent" else "proxy"]
    told = re.search(pattern.format(host=re.escape(where)), said)
    return ended["code"] != 0 and WORD not in said and told is not None
