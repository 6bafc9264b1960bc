"""The official conformance suites of MCP, run on the gateway and on our client.

`python -m campaigns.conformance` prints one line of JSON a suite, and exits 1 if a bar is missed;
what failed is named on standard error, by scenario and check.

suites     what is run, what must pass, and how the suites' programs are asked
fixture    a server with everything the scenarios ask for, in both revisions
asking     those of its tools that ask their client for something
voting     a rule that asks people, and who votes in their place
behind     the fixture behind `bailiwick up`, and an access key before it
client     our MCP client, as the program that the client suites start
"""
