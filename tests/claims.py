"""What this repository claims, one sentence for each id.

A test that holds a claim is marked `@pytest.mark.claim("area.short-name")`. Each id here has such a
test and each mark names an id here: `tests/repo/test_claims.py` compares them. A new id goes to the
end of its area.
"""

CLAIMS: dict[str, str] = {
    # spine
    # store
    # identity
    "identity.forged-token-refused": "Only a token that this tenant's issuer signed is taken.",
    "identity.stolen-token-refused": "A token is worth nothing without a proof by its own key.",
    "identity.revocation-immediate": "What is revoked or disabled counts at the next call.",
    "identity.assertion-once": "An agent's assertion is taken once, in time, by one process.",
    "identity.narrowing-only": "A token that is handed on reaches and may spend less, never more.",
    "identity.capability-node-stable": "Issuing again for one run and grant is one budget node.",
    "identity.children-share-parent-cap": "A token's children together spend what it may spend.",
    "identity.vote-needs-password": "Only the person's password opens the key that signs votes.",
    "identity.session-is-the-person": "A session is its person's, while the account stands.",
    "identity.roles-deny-by-default": "A command that no role of a person names is refused.",
    "identity.key-files-private": "Key files are their owner's alone, or they are not read.",
    "identity.no-secret-in-errors": "No token, proof, key or password is in a message.",
    # policy
    # limits
    "limits.foreign-currency-over": "Money in another currency than a cap's is over that cap.",
    "limits.stop-covers-every-scope": "A stop of any scope refuses what it covers, and only that.",
    "limits.loosening-needs-two": "Tightening waits for nobody; the rest does once two can decide.",
    "limits.breaker-counts-the-provider": "Breakers count the provider's failures and no others.",
    # approval
    "approval.per-request-digest": "A vote counts for the very request it was signed over.",
    "approval.quorum-waits-for-all": "A rule is satisfied by its whole quorum and by nothing less.",
    "approval.one-person-once": "One person counts for one rule of an action, whatever the queues.",
    "approval.requester-excluded": "Who asks satisfies no rule, nor does anyone asking with them.",
    "approval.unsigned-vote-does-not-count": "A vote without its voter's signature is nothing.",
    "approval.expiry-is-denial": "From its end on, a request gives no evidence and takes no vote.",
    "approval.escapes-shown": "The words of others come last, labelled, with escapes visible.",
    # execution
    "execution.never-resend-without-key": "Only a kept key lets a send in doubt be repeated.",
    "execution.unknown-is-not-failed": "Failed is only what certainly did nothing; else unknown.",
    "execution.fence-each-send": "Each send, first or repeat, is let through by the control state.",
    "execution.quiet-after-a-stop": "After a stop and `quiet`, no send begins.",
    "execution.found-needs-our-id": "Found after a crash is only what carries our action id.",
    "execution.credential-bound-to-host-tool-use": "A secret serves its hosts, tools and use only.",
    "execution.secrets-stay-secret": "No secret reaches an error, a log, a repr or a result.",
    "execution.no-redirects": "A redirect is an answer; nothing is sent to where it points.",
    "execution.deadline": "No send of an action begins after its deadline.",
    "execution.bounded-answers": "An answer is bounded while it is read and is never unpacked.",
    "execution.one-segment-per-parameter": "A path parameter cannot leave its path segment.",
    # verification
    "verification.silent-no-op-contradicted": "A yes without the expected effect is contradicted.",
    "verification.concurrent-change-unverifiable": "Another write in between excuses a mismatch.",
    # ledger
    "ledger.rfc6962-vectors": "Roots and proofs are those of the public RFC 6962 test vectors.",
    "ledger.consistency-from-zero-refused": "A consistency proof from size 0 is refused.",
    "ledger.base64-canonical": "Base64 is accepted in its canonical form only.",
    "ledger.records-canonical": "A record has one byte form; any other is refused and named.",
    "ledger.nothing-personal-in-clear": "A record takes people and things as pseudonyms only.",
    "ledger.sealed-tamper-found": "A sealed payload that was changed or moved does not open.",
    "ledger.receipt-offline": "Record, receipt and the log's key verify without the log.",
    "ledger.any-changed-byte-receipt": "Any changed bit of a receipt or its record is found.",
    "ledger.any-changed-byte": "Any changed byte of an export is found and its record named.",
    "ledger.rollback-found-with-older-checkpoint": "A cut or rewritten log fails an older head.",
    "ledger.witness-required-when-named": "A named witness must have cosigned the checkpoint.",
    "ledger.no-witness-said": "Without a witness the verifier says what it cannot see.",
    "ledger.verifier-independent": "The verifier needs cryptography and the standard library only.",
    "ledger.verifier-semantics": "The verifier names records that contradict each other.",
    # propose
    "propose.strict-json": "JSON that can be read in two ways is refused, each with its code.",
    "propose.canonical-is-rfc8785": "The canonical form of every JSON value is that of RFC 8785.",
    # catalog
    "catalog.one-value": "The value that is validated is the one that is hashed and that is sent.",
    "catalog.path-parameter-one-segment": "A path parameter cannot leave its segment of the path.",
    "catalog.remote-ref-refused": "A schema that refers to anything outside itself does not load.",
    "catalog.objects-are-closed": "An object takes no member that its schema does not name.",
    "catalog.no-hidden-default": "A default that people would not see keeps the tool from loading.",
    "catalog.write-tool-law": "A write that cannot be undone, checked or gated does not load.",
    "catalog.unclassified-does-not-run": "A tool that says neither read nor write does not load.",
    "catalog.reads-and-writes-apart": "No credential serves both reads and writes.",
    "catalog.fact-or-refusal": "A fact that cannot be computed refuses; it is never null.",
    "catalog.destination-one-reading": "A destination is one domain as A-labels, or is refused.",
    "catalog.path-means-cel": "A plain path gives what CEL gives, and fails where CEL fails.",
    "catalog.changed-definition-is-another-version": "Any change to a tool changes its digest.",
    "catalog.unknown-member-refused": "A bound that is misspelt or not kept yet does not load.",
    # cli
    # crash
    # repo
    "repo.claims-both-ways": "Each claim has a test and each test's claim is listed.",
    "repo.import-map": "Imports go downward, organs never import each other, all are placed.",
    "repo.one-home-per-library": "SQL, HTTP, Cedar, CEL, JOSE and JSON Schema have one folder.",
    "repo.steps-agree": "Code, documents and test folders name the same twelve steps in one order.",
    "repo.limits": "No function, file, line or signature exceeds its limit without a named reason.",
    "repo.pure-core": "Nouns, values, policy and catalogue read no clock.",
    "repo.environment-read-at-the-edge": "Only the settings and the broker read the environment.",
    "repo.faults-are-named": "No handler swallows every exception, save those listed by name.",
    "repo.light-import": "Importing the package loads no optional, slow or server library.",
    "repo.public-names": "The root exports at most thirty names, and exactly the pinned ones.",
    "repo.nothing-local": "No file names a package registry's host or a path of one machine.",
    "repo.no-mocks": "Tests run against real parts: none imports a mocking library.",
}
