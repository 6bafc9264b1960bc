"""`python -m campaigns.conformance`: see the package. One line of JSON a suite; 1 on a miss."""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from campaigns.conformance.behind import fixture, governed
from campaigns.conformance.suites import CLIENT, SERVER, Result, node, on_client, on_server


async def _run(chosen: Sequence[str], *, alone: bool) -> Sequence[Result]:
    servers, clients = (
        [suite for suite in suites if suite.name in chosen or not chosen]
        for suites in (SERVER, CLIENT)
    )
    results = []
    async with fixture() as url:
        if alone:
            return [await on_server(suite, url) for suite in servers]
        # What a server asks during a call differs between the revisions: the same on both sides.
        for protocol in sorted({suite.protocol for suite in servers}):
            with tempfile.TemporaryDirectory() as folder:
                project = Path(folder) / "project"
                async with governed(project, url, protocol, asks_people=True) as before:
                    suites = [suite for suite in servers if suite.protocol == protocol]
                    results += [await on_server(suite, before) for suite in suites]
    return [*results, *[await on_client(suite) for suite in clients]]


def main() -> int:
    """Run the suites and give the exit code."""
    parser = argparse.ArgumentParser(description="Runs MCP's official conformance suites.")
    parser.add_argument("--alone", action="store_true", help="on the fixture, without Bailiwick")
    names = [suite.name for suite in (*SERVER, *CLIENT)]
    parser.add_argument("--suite", action="append", choices=names, help="this one alone")
    given = parser.parse_args()
    try:
        node()
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    results = asyncio.run(_run(given.suite or (), alone=given.alone))
    for result in results:
        for finding in result.findings:
            print(finding, file=sys.stderr)
        for finding in result.failed_beside:
            print(f"not scored: {finding}", file=sys.stderr)
        print(json.dumps(result.line))
    return 0 if all(result.holds for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
