"""Runs each tool that matters against hosts of the tests' internet, and prints what came of it.

A program of its own, for the distribution's Python: `toolbox.py KIT FILE`. KIT is the directory
that the test has laid out, FILE one in it: JSON, a list of [TOOL, WAY, HOST]. A way is `proxy`,
with the variables as they are, or `direct`, without those that name a proxy.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SECONDS = 60
LONGEST = 3000

FETCH = "fetch(process.argv[1]).then(r => r.text()).then(console.log)"
GET = "require('https').get(process.argv[1], r => r.pipe(process.stdout))"
URLLIB = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())"
REQUESTS = "import sys, requests; print(requests.get(sys.argv[1]).text)"
SSH = (
    "ssh -F none -i $HOME/key -o UserKnownHostsFile=$HOME/known -o StrictHostKeyChecking=yes "
    "-o BatchMode=yes -o ConnectTimeout=10"
)
# In each, HOST stands for the host; $KIT and $VENV are directories. A tool has a home of its own.
COMMANDS = {
    "curl": "curl -sS --fail-with-body https://HOST/hello",
    "curl-http": "curl -sS --fail-with-body http://HOST/hello",
    "curl-socks": "curl -sS -f --proxy socks5h://127.0.0.1:3128 https://HOST/hello",
    "wget": "wget -nv -O - --ca-certificate=$KIT/ca.pem https://HOST/hello",
    "wget-http": "wget -nv -O - --content-on-error http://HOST/hello",
    "git": "git clone -q https://HOST/git/project.git clone && cat clone/README",
    "git-ssh": "install -m 600 $KIT/key $HOME/key && "
    "echo HOST $(cat $KIT/host-key) > $HOME/known && "
    f'GIT_SSH_COMMAND="{SSH}" git clone -q ssh://$(cat $KIT/ssh-user)@HOST/project.git clone && '
    "cat clone/README",
    "pip": "$VENV/bin/python -m pip install --no-deps --retries 1 --timeout 10 --target got "
    "--index-url https://HOST/${INDEX:-simple} tiny && cat got/tiny.py",
    "uv": "$VENV/bin/uv pip install -q --python $VENV/bin/python --target got "
    "--default-index https://HOST/${INDEX:-simple} tiny && cat got/tiny.py",
    "npm": "npm install --silent --no-audit --no-fund --no-update-notifier --fetch-retries=0 "
    "--loglevel=error --registry=https://HOST/npm/ tiny && cat node_modules/tiny/index.js",
    "node-fetch": f'node -e "{FETCH}" https://HOST/hello',
    "node-https": f'node -e "{GET}" https://HOST/hello',
    "urllib": f"/usr/bin/python3 -c '{URLLIB}' https://HOST/hello",
    "requests": f"$VENV/bin/python -c '{REQUESTS}' https://HOST/hello",
    "go": "GOPROXY=https://HOST/go go mod download example.org/tiny@v1.0.0 && "
    "cat $HOME/go/pkg/mod/example.org/tiny@v1.0.0/tiny.go",
    "cargo": "mkdir -p $HOME/.cargo src && touch src/lib.rs && cp $KIT/crate.toml Cargo.toml && "
    "sed s/@INDEX@/HOST/ $KIT/cargo.toml > $HOME/.cargo/config.toml && cargo -q fetch && "
    "cat $HOME/.cargo/registry/src/*/tiny-1.0.0/src/lib.rs",
    "java": "java $JAVA_PROXY -Djavax.net.ssl.trustStore=$KIT/trust.p12 "
    "-Djavax.net.ssl.trustStorePassword=changeit $KIT/Get.java https://HOST/hello",
    "apt": "mkdir -p state/lists/partial cache/archives/partial && touch status && "
    "echo 'deb [trusted=yes] http://HOST/apt ./' > sources.list && "
    "set -- -q -o Dir::Etc::sourcelist=$PWD/sources.list -o Dir::Etc::sourceparts=- "
    "-o Dir::State=$PWD/state -o Dir::State::status=$PWD/status -o Dir::Cache=$PWD/cache && "
    'apt-get "$@" update -o APT::Update::Error-Mode=any && apt-get "$@" download tiny && '
    "dpkg-deb --field tiny_1.0_all.deb Description",
}
# The authority by each tool's own variable, and nothing of the machine's or the human's settings.
VARIABLES = {
    "CURL_CA_BUNDLE": "{kit}/ca.pem",
    "GIT_SSL_CAINFO": "{kit}/ca.pem",
    "PIP_CERT": "{kit}/ca.pem",
    "REQUESTS_CA_BUNDLE": "{kit}/ca.pem",
    "SSL_CERT_FILE": "{kit}/ca.pem",
    "NODE_EXTRA_CA_CERTS": "{kit}/ca.pem",
    "CARGO_HTTP_CAINFO": "{kit}/ca.pem",
    "npm_config_cafile": "{kit}/ca.pem",
    "CARGO_NET_RETRY": "0",
    # Before 1.68 cargo has the sparse protocol for the asking only.
    "CARGO_UNSTABLE_SPARSE_REGISTRY": "true",
    "RUSTC_BOOTSTRAP": "1",
    "GOFLAGS": "-mod=mod",
    "GOSUMDB": "off",
    "GOTOOLCHAIN": "local",
    "PIP_CONFIG_FILE": "/dev/null",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_CACHE_DIR": "1",
    "UV_NO_CONFIG": "1",
    "UV_HTTP_RETRIES": "0",
    "LC_ALL": "C.UTF-8",
}
JAVA_PROXY = "-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=3128"
ONLY_BY_PROXY = {"curl-socks"}


def is_proxy_variable(name: str) -> bool:
    return name.lower().endswith("_proxy")


def environment(kit: Path, way: str, home: str) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if way == "proxy" or not is_proxy_variable(name)
    }
    own = {name: value.format(kit=kit) for name, value in VARIABLES.items()}
    venv = (kit / "venv").read_text()
    java = {"JAVA_PROXY": JAVA_PROXY if way == "proxy" else ""}
    return {**kept, **own, **java, "HOME": home, "KIT": str(kit), "VENV": venv}


def run(kit: Path, tool: str, way: str, host: str) -> dict[str, object]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        try:
            ended = subprocess.run(
                ["/bin/sh", "-c", COMMANDS[tool].replace("HOST", host)],
                cwd=home,
                env=environment(kit, way, home),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            code, said = -1, (error.stdout or b"") + b"\n(took too long)"
        else:
            code, said = ended.returncode, ended.stdout
    text = said.decode(errors="replace")
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]}\n...\n{text[-LONGEST // 2 :]}"
    return {"tool": tool, "way": way, "host": host, "code": code, "said": text}


def main() -> None:
    kit = Path(sys.argv[1])
    wanted = json.loads((kit / sys.argv[2]).read_text())
    with ThreadPoolExecutor(3) as pool:
        print(json.dumps(list(pool.map(lambda one: run(kit, *one), wanted))))


if __name__ == "__main__":
    main()
