"""`python -m testkit --scenario FILE`: the fake API as a program of its own."""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path

from testkit.scenario import load
from testkit.server import FakeAPI

SCENARIOS = Path(__file__).with_name("scenarios")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m testkit", description="a scripted API")
    parser.add_argument("--scenario", type=Path, default=SCENARIOS, help="a file or a directory")
    parser.add_argument("--default", help="the scenario played when the URL names none")
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0: any")
    parser.add_argument("--port-file", type=Path, help="gets the port once it listens")
    parser.add_argument("--log", type=Path, help="gets a JSON line for each request")
    parser.add_argument("--require-key", help="answer 401 to any other key or token")
    parser.add_argument("--show-credentials", action="store_true", help="log them in clear")
    return parser.parse_args()


async def serve(options: argparse.Namespace) -> None:
    scenarios = load(options.scenario)
    api = FakeAPI(
        scenarios,
        options.default or next(iter(scenarios)),
        log=options.log,
        require_key=options.require_key,
        show_credentials=options.show_credentials,
    )
    server = await asyncio.start_server(api.connected, "127.0.0.1", options.port, limit=1 << 20)
    port = server.sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{port}", flush=True)
    if options.port_file:
        unfinished = options.port_file.with_name(options.port_file.name + ".new")
        unfinished.write_text(str(port))
        unfinished.rename(options.port_file)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(arguments()))
