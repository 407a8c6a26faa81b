"""As much of GitHub's API as its own program needs here; it notes who asks for what."""

from __future__ import annotations

import http.server
import json
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from world.internet import API, Internet
from world.listening import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from world.listening import Server

NAMES = {"api.github.com": API, "github.com": API}
_REQUEST = {
    "id": "PR_7",
    "number": 7,
    "title": "a change",
    "body": "of something",
    "state": "OPEN",
    "url": "https://github.com/o/n/pull/7",
    "headRefName": "claude/x",
    "isDraft": False,
    "isCrossRepository": False,
    "headRepositoryOwner": {"login": "o"},
    "author": {"login": "me"},
    "createdAt": "2026-01-01T00:00:00Z",
}
_PAGE = {"hasNextPage": False, "endCursor": ""}
_REPOSITORY = {
    "id": "R_1",
    "name": "n",
    "nameWithOwner": "o/n",
    "description": "theirs",
    "owner": {"login": "o"},
    "hasIssuesEnabled": True,
    "isPrivate": True,
    "viewerPermission": "WRITE",
    "defaultBranchRef": {"name": "main"},
    "parent": None,
    "pullRequests": {"totalCount": 1, "nodes": [_REQUEST], "pageInfo": _PAGE},
    "issues": {"totalCount": 1, "nodes": [_REQUEST], "pageInfo": _PAGE},
    "pullRequest": _REQUEST,
    "issue": {"__typename": "Issue", **_REQUEST},
}
_MADE = {
    "createPullRequest": {"pullRequest": {"id": "PR_8", "url": "https://github.com/o/n/pull/8"}},
    "addComment": {"commentEdge": {"node": {"url": "https://github.com/o/n/pull/7#c1"}}},
    "createIssue": {"issue": {"id": "I_9", "url": "https://github.com/o/n/issues/9"}},
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        asked = json.loads(body) if body else {}
        who = self.headers.get("authorization")
        self.server.heard.append({"path": self.path, "who": who, **asked})
        query = asked.get("query", "")
        made = {name: each for name, each in _MADE.items() if f"{name}(" in query}
        data = made or {"repository": _REPOSITORY, "viewer": {"login": "me"}}
        said = json.dumps({"data": data} if query else _REPOSITORY).encode()
        self.send_response(200)
        for name, value in (("content-type", "application/json"), ("content-length", len(said))):
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_POST = _answer  # noqa: N815 - the library's names

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def new_github(internet: Internet) -> Iterator[Server]:
    """Serve at api.github.com of that internet, which has to have `NAMES`."""
    script = """
    openssl req -newkey rsa:2048 -nodes -subj /CN=api.github.com -keyout gh.key -out gh.csr
    printf 'subjectAltName=DNS:api.github.com,DNS:github.com' > gh.ext
    openssl x509 -req -in gh.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
      -extfile gh.ext -out gh.pem
    """
    subprocess.run(["sh", "-ec", script], cwd=internet.directory, check=True, capture_output=True)
    certificate = internet.directory / "gh.pem", internet.directory / "gh.key"
    with serving(internet.listen(API, 443), Handler, certificate) as server:
        yield server
