"""How fast a governed action is, beside the least that any durable, policy-checked call must do.

`python -m bench` runs everything; each other module with a `main` measures one subject in a process
of its own and prints one JSON object.

    bare         the bare pipeline: parse, validate, decide, canonicalise, two group commits
    load         the refund, the rules and the budgets that the writes are measured with
    subject      the bare pipeline and the spine: one caller, then 64; memory after many actions
    peer_…       a durable governed write of another library, run by that library's interpreter
    receiver     the collector to which the telemetry goes
    probe        one fdatasync, which every commit waits for
    decide       one decision among a thousand rules
    verify       the verifier on a hundred thousand records
    starting     what importing the package costs
    timing       one caller's median and the rate of 64, the same for everybody
    lines        what is printed, and the bars
"""
